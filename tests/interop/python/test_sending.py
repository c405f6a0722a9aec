"""Sending: one, lists, batches, every property, sizes."""

import datetime
import uuid

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusReceiveMode
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType, AmqpMessageHeader, AmqpMessageProperties
from azure.servicebus.exceptions import MessageSizeExceededError


async def received(client, queue, count):
    """So many messages, deleted as they are received."""
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    messages = []
    async with client.get_queue_receiver(queue, receive_mode=mode) as receiver:
        while len(messages) < count:
            more = await receiver.receive_messages(max_message_count=count - len(messages), max_wait_time=5)
            assert more, f"{len(messages)} of {count} messages came"
            messages.extend(more)
    return messages


async def test_one_a_list_and_a_batch_come_back_in_order_over_one_connection_each(sdk, emulator, counters):
    queue = emulator.fresh("queue")
    async with sdk.client() as client:
        async with client.get_queue_sender(queue) as sender:
            await sender.send_messages(ServiceBusMessage("one"))
            await sender.send_messages([ServiceBusMessage("two"), ServiceBusMessage("three")])
            batch = await sender.create_message_batch()
            for text in ("four", "five", "six"):
                batch.add_message(ServiceBusMessage(text))
            await sender.send_messages(batch)
            await sender.send_messages({"body": "seven"})
            await sender.send_messages([])
        bodies = [str(message) for message in await received(client, queue, 7)]
    assert bodies == ["one", "two", "three", "four", "five", "six", "seven"]
    counted = counters.since()
    assert counted["connections-accepted"] == 2
    assert counted["messages-sent"] == counted["messages-delivered"] == 7
    assert counted["tokens-put"] == 2 and counted["tokens-refused"] == 0
    assert counted["settled-by-management"] == 0


async def test_every_property_comes_back(sdk, emulator):
    queue = emulator.fresh("queue")
    when = datetime.datetime(2020, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc)
    key = uuid.uuid4()
    message = ServiceBusMessage(
        b"\x00\xff body",
        application_properties={
            "text": "täxt", "true": True, "int": -42, "double": 21.5, "uuid": key, "time": when, "empty": "",
        },
        session_id="session", message_id="id", time_to_live=datetime.timedelta(minutes=5), content_type="text/plain",
        correlation_id="correlation", subject="subject", partition_key="session", to="to", reply_to="reply",
        reply_to_session_id="reply-session",
    )
    async with sdk.client() as client:
        async with client.get_queue_sender(queue) as sender:
            await sender.send_messages(message)
        [found] = await received(client, queue, 1)
    assert b"".join(found.body) == b"\x00\xff body"
    assert found.body_type == AmqpMessageBodyType.DATA
    for name in ("session_id", "message_id", "time_to_live", "content_type", "correlation_id", "subject",
                 "partition_key", "to", "reply_to", "reply_to_session_id"):
        assert getattr(found, name) == getattr(message, name), name
    assert found.application_properties == {
        b"text": "täxt".encode(), b"true": True, b"int": -42, b"double": 21.5, b"uuid": key,
        b"time": int(when.timestamp() * 1000), b"empty": b"",
    }
    assert found.delivery_count == 0
    assert found.sequence_number > 0
    age = datetime.datetime.now(datetime.timezone.utc) - found.enqueued_time_utc
    assert datetime.timedelta(0) <= age < datetime.timedelta(seconds=30)
    assert found.expires_at_utc - found.enqueued_time_utc == datetime.timedelta(minutes=5)


async def test_a_message_without_properties_has_none_but_an_id(sdk, emulator):
    queue = emulator.fresh("queue")
    async with sdk.client() as client:
        async with client.get_queue_sender(queue) as sender:
            await sender.send_messages(ServiceBusMessage(None))
        [found] = await received(client, queue, 1)
    assert found.message_id
    assert not found.application_properties
    for name in ("session_id", "content_type", "correlation_id", "subject", "partition_key", "to", "reply_to",
                 "scheduled_enqueue_time_utc", "dead_letter_reason", "dead_letter_source"):
        assert getattr(found, name) is None, name


@pytest.mark.parametrize("kind, body", [
    ("value", {"value_body": {b"a": [1, 2.5, None], b"b": b"bytes"}}),
    ("value", {"value_body": 7}),
    ("sequence", {"sequence_body": [1, b"two", True]}),
    ("data", {"data_body": [b"first", b"second"]}),
])
async def test_every_kind_of_body_comes_back_with_all_sections(sdk, emulator, kind, body):
    queue = emulator.fresh("queue")
    message = AmqpAnnotatedMessage(
        **body,
        header=AmqpMessageHeader(durable=True, priority=7, time_to_live=60_000),
        properties=AmqpMessageProperties(message_id="id", user_id=b"user", subject="subject", group_sequence=3),
        application_properties={"key": "value"},
        annotations={"x-opt-own": 5},
        delivery_annotations={"own": "delivery"},
        footer={"foot": "note"},
    )
    async with sdk.client() as client:
        async with client.get_queue_sender(queue) as sender:
            await sender.send_messages(message)
        [found] = await received(client, queue, 1)
    raw = found.raw_amqp_message
    assert raw.body_type.value == kind
    expected = next(iter(body.values()))
    actual = raw.body
    if kind == "data":
        assert list(actual) == expected
    elif kind == "sequence":
        assert list(actual) in ([expected], expected)
    else:
        assert actual == expected
    assert (raw.header.durable, raw.header.priority, raw.header.time_to_live) == (True, 7, 60_000)
    assert (raw.properties.user_id, raw.properties.subject, raw.properties.group_sequence) == (b"user", b"subject", 3)
    assert raw.annotations[b"x-opt-own"] == 5
    assert raw.delivery_annotations[b"own"] == b"delivery"
    assert raw.footer == {b"foot": b"note"}


async def test_a_batch_is_full_at_the_limit_of_the_link_and_is_accepted(sdk, emulator):
    queue = emulator.fresh("queue")
    async with sdk.client() as client:
        async with client.get_queue_sender(queue) as sender:
            batch = await sender.create_message_batch()
            assert batch.max_size_in_bytes == 262_144
            count = 0
            with pytest.raises(MessageSizeExceededError):
                while True:
                    batch.add_message(ServiceBusMessage(b"x" * 10_000))
                    count += 1
            assert count == len(batch) == 26 - 1 + (batch.size_in_bytes > 26 * 10_000)
            await sender.send_messages(batch)
        assert len(await received(client, queue, count)) == count


async def test_large_messages_cross_in_many_frames(sdk, emulator):
    queue = emulator.fresh("large")
    body = bytes(range(256)) * 4096 * 3
    async with sdk.client() as client:
        async with client.get_queue_sender(queue) as sender:
            await sender.send_messages(ServiceBusMessage(body))
        [found] = await received(client, queue, 1)
    assert b"".join(found.body) == body


async def test_a_repeated_message_id_is_accepted_and_dropped(sdk, emulator):
    queue = emulator.fresh("unique")
    async with sdk.client() as client:
        async with client.get_queue_sender(queue) as sender:
            for text in ("first", "again"):
                await sender.send_messages(ServiceBusMessage(text, message_id="same"))
            await sender.send_messages(ServiceBusMessage("other", message_id="other"))
        assert [str(message) for message in await received(client, queue, 2)] == ["first", "other"]


async def test_schedule_cancel_and_peek_what_is_scheduled(sdk, emulator, counters):
    queue = emulator.fresh("queue")
    now = datetime.datetime.now(datetime.timezone.utc)
    soon, later = now + datetime.timedelta(seconds=4), now + datetime.timedelta(hours=10)
    async with sdk.client() as client:
        async with client.get_queue_sender(queue) as sender:
            [soon_number] = await sender.schedule_messages(ServiceBusMessage("soon"), soon)
            numbers = await sender.schedule_messages([ServiceBusMessage("a"), ServiceBusMessage("b")], later)
            await sender.send_messages(ServiceBusMessage("plain", scheduled_enqueue_time_utc=later))
            assert len(numbers) == 2 and 0 < soon_number < numbers[0] < numbers[1]
            async with client.get_queue_receiver(queue) as receiver:
                peeked = await receiver.peek_messages(10, sequence_number=numbers[0])
                assert [str(message) for message in peeked] == ["a", "b", "plain"]
                assert [message.sequence_number for message in peeked[:2]] == numbers
                assert {message.state.name for message in peeked} == {"SCHEDULED"}
                assert abs(peeked[0].scheduled_enqueue_time_utc - later) < datetime.timedelta(seconds=1)
                await sender.cancel_scheduled_messages(numbers)
                assert [str(m) for m in await receiver.peek_messages(10, sequence_number=numbers[0])] == ["plain"]
                [found] = await receiver.receive_messages(max_wait_time=10)
                assert str(found) == "soon"
                assert found.enqueued_time_utc >= soon.replace(microsecond=0)
                assert found.scheduled_enqueue_time_utc is not None
                await receiver.complete_message(found)
    assert counters.since()["connections-accepted"] == 2

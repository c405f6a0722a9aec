"""Receiving: settlement, sub-queues, modes, prefetch, peek, iterators."""

import asyncio
import datetime

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusReceiveMode, ServiceBusSubQueue
from azure.servicebus.exceptions import MessageAlreadySettled


async def send(client, queue, *bodies):
    async with client.get_queue_sender(queue) as sender:
        await sender.send_messages([ServiceBusMessage(body) for body in bodies])


async def receive_all(receiver, count):
    messages = []
    while len(messages) < count:
        more = await receiver.receive_messages(max_message_count=count - len(messages), max_wait_time=5)
        assert more, f"{len(messages)} of {count} messages came"
        messages.extend(more)
    return messages


async def test_complete_abandon_defer_and_dead_letter_settle_on_the_link(sdk, emulator, counters):
    queue = emulator.fresh("queue")
    async with sdk.client() as client:
        await send(client, queue, "complete", "abandon", "defer", "dead-letter")
        async with client.get_queue_receiver(queue) as receiver:
            complete, abandon, defer, dead = await receive_all(receiver, 4)
            await receiver.complete_message(complete)
            await receiver.defer_message(defer)
            await receiver.dead_letter_message(dead, reason="why", error_description="because")
            await receiver.abandon_message(abandon)
            [again] = await receive_all(receiver, 1)
            assert (str(again), again.delivery_count) == ("abandon", 1)
            assert again.sequence_number == abandon.sequence_number and again.lock_token != abandon.lock_token
            await receiver.complete_message(again)
            with pytest.raises(MessageAlreadySettled):
                await receiver.complete_message(again)
            counted = counters.since()
            assert counted["connections-accepted"] == 2
            assert (counted["settled-on-links"], counted["settled-by-management"]) == (5, 0)

            [deferred] = await receiver.receive_deferred_messages(defer.sequence_number)
            assert (str(deferred), deferred.state.name) == ("defer", "DEFERRED")
            await receiver.complete_message(deferred)
            counted = counters.since()
            assert counted["connections-accepted"] == 0
            assert (counted["settled-on-links"], counted["settled-by-management"]) == (0, 1)
        async with client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
            [found] = await receive_all(receiver, 1)
            assert (str(found), found.dead_letter_reason, found.dead_letter_error_description) == (
                "dead-letter", "why", "because")
            assert found.sequence_number == dead.sequence_number
            await receiver.complete_message(found)
            assert await receiver.peek_messages() == []


async def test_500_messages_are_received_and_completed_over_one_connection(sdk, emulator, counters):
    queue, count = emulator.fresh("queue"), 500
    async with sdk.client() as client:
        await send(client, queue, *(str(number) for number in range(count)))
        async with client.get_queue_receiver(queue, prefetch_count=100) as receiver:
            bodies = []
            while len(bodies) < count:
                for message in await receiver.receive_messages(max_message_count=100, max_wait_time=5):
                    bodies.append(int(str(message)))
                    await receiver.complete_message(message)
    assert bodies == list(range(count))
    counted = counters.since()
    assert counted["connections-accepted"] == 2
    assert (counted["settled-on-links"], counted["settled-by-management"]) == (count, 0)
    assert counted["messages-delivered"] == count


async def test_receive_and_delete_takes_what_it_receives(sdk, emulator, counters):
    queue = emulator.fresh("queue")
    async with sdk.client() as client:
        await send(client, queue, "a", "b", "c")
        mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
        async with client.get_queue_receiver(queue, receive_mode=mode) as receiver:
            messages = await receive_all(receiver, 3)
            assert [str(message) for message in messages] == ["a", "b", "c"]
            with pytest.raises(ValueError):
                await receiver.complete_message(messages[0])
            assert await receiver.peek_messages() == []
    counted = counters.since()
    assert counted["settled-on-links"] == counted["settled-by-management"] == 0


async def test_prefetched_messages_are_locked_and_given_back_when_the_receiver_closes(sdk, emulator):
    queue = emulator.fresh("queue")
    async with sdk.client() as client:
        await send(client, queue, *"abcdef")
        async with client.get_queue_receiver(queue, prefetch_count=10) as receiver:
            [first] = await receiver.receive_messages(max_message_count=1, max_wait_time=5)
            await receiver.complete_message(first)
        async with client.get_queue_receiver(queue) as receiver:
            rest = await receive_all(receiver, 5)
            assert [(str(message), message.delivery_count) for message in rest] == [(body, 0) for body in "bcdef"]
            for message in rest:
                await receiver.complete_message(message)


async def test_peek_leaves_messages_alone_and_goes_on(sdk, emulator):
    queue = emulator.fresh("queue")
    async with sdk.client() as client:
        await send(client, queue, *"abcde")
        async with client.get_queue_receiver(queue) as receiver:
            first = await receiver.peek_messages(2)
            assert [str(message) for message in first] == ["a", "b"]
            assert [str(message) for message in await receiver.peek_messages(10)] == ["c", "d", "e"]
            again = await receiver.peek_messages(10, sequence_number=first[1].sequence_number)
            assert [str(message) for message in again] == ["b", "c", "d", "e"]
            with pytest.raises(ValueError):
                await receiver.complete_message(first[0])
            for message in await receive_all(receiver, 5):
                assert message.delivery_count == 0
                await receiver.complete_message(message)
            assert await receiver.peek_messages(10, sequence_number=1) == []


async def test_an_iterator_ends_when_nothing_comes(sdk, emulator):
    queue = emulator.fresh("queue")
    async with sdk.client() as client:
        await send(client, queue, *"abc")
        bodies = []
        async with client.get_queue_receiver(queue, max_wait_time=1) as receiver:
            async for message in receiver:
                bodies.append(str(message))
                await receiver.complete_message(message)
    assert bodies == ["a", "b", "c"]


async def test_an_empty_queue_gives_nothing_in_time_and_a_late_message_comes_at_once(sdk, emulator):
    queue = emulator.fresh("queue")
    loop = asyncio.get_running_loop()
    async with sdk.client() as client:
        async with client.get_queue_receiver(queue) as receiver:
            began = loop.time()
            assert await receiver.receive_messages(max_wait_time=0.5) == []
            assert 0.4 < loop.time() - began < 15
            await send(client, queue, "late")
            began = loop.time()
            [message] = await receiver.receive_messages(max_wait_time=20)
            assert loop.time() - began < 15
            await receiver.complete_message(message)


async def test_too_many_deliveries_and_expiry_lead_to_the_dead_letter_queue(sdk, emulator):
    queue, expiring = emulator.fresh("queue"), emulator.fresh("expiring")
    dead_letter = ServiceBusSubQueue.DEAD_LETTER
    async with sdk.client() as client:
        async with client.get_queue_sender(expiring) as sender:
            await sender.send_messages(ServiceBusMessage("old", time_to_live=datetime.timedelta(seconds=1)))
        await send(client, queue, "poison")
        async with client.get_queue_receiver(queue) as receiver:
            for count in range(3):
                [message] = await receive_all(receiver, 1)
                assert message.delivery_count == count
                await receiver.abandon_message(message)
            assert await receiver.receive_messages(max_wait_time=0.3) == []
        async with client.get_queue_receiver(queue, sub_queue=dead_letter) as receiver:
            [message] = await receive_all(receiver, 1)
            assert message.dead_letter_reason == "MaxDeliveryCountExceeded"
            # Abandoning changes nothing here.
            await receiver.abandon_message(message)
            [message] = await receive_all(receiver, 1)
            assert message.delivery_count == 3
            await receiver.complete_message(message)
        async with client.get_queue_receiver(expiring, sub_queue=dead_letter) as receiver:
            [message] = await receive_all(receiver, 1)
            assert (str(message), message.dead_letter_reason) == ("old", "TTLExpiredException")
            await receiver.complete_message(message)


async def test_deferred_messages_are_received_in_every_mode_and_settled_in_every_way(sdk, emulator):
    queue = emulator.fresh("queue")
    async with sdk.client() as client:
        await send(client, queue, "a", "b", "c", "d")
        async with client.get_queue_receiver(queue) as receiver:
            messages = await receive_all(receiver, 4)
            numbers = [message.sequence_number for message in messages]
            for message in messages:
                await receiver.defer_message(message)
            assert await receiver.receive_messages(max_wait_time=0.3) == []
            a, b, c = await receiver.receive_deferred_messages(numbers[:3])
            assert [message.delivery_count for message in (a, b, c)] == [1, 1, 1]
            await receiver.dead_letter_message(a, reason="late")
            await receiver.abandon_message(b)
            await receiver.defer_message(c)
            b, c = await receiver.receive_deferred_messages(numbers[1:3])
            await receiver.complete_message(b)
            await receiver.complete_message(c)
        mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
        async with client.get_queue_receiver(queue, receive_mode=mode) as receiver:
            [d] = await receiver.receive_deferred_messages(numbers[3])
            assert str(d) == "d"
            assert await receiver.peek_messages() == []
        async with client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
            [dead] = await receive_all(receiver, 1)
            assert (str(dead), dead.dead_letter_reason) == ("a", "late")
            await receiver.complete_message(dead)

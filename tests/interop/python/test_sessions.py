"""Sessions: named, next available, state, renewal, lists, and what is refused."""

import datetime

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)


async def send(client, queue, *sessions):
    async with client.get_queue_sender(queue) as sender:
        await sender.send_messages([
            ServiceBusMessage(f"{session} {number}", session_id=session) for number, session in enumerate(sessions)
        ])


async def receive_all(receiver, count):
    messages = []
    while len(messages) < count:
        more = await receiver.receive_messages(max_message_count=count - len(messages), max_wait_time=5)
        assert more, f"{len(messages)} of {count} messages came"
        messages.extend(more)
    return messages


async def test_a_session_gives_its_messages_in_order_and_settles_on_the_link(sdk, emulator, counters):
    queue = emulator.fresh("session")
    async with sdk.client() as client:
        await send(client, queue, "a", "b", "a", "b", "a", "a")
        async with client.get_queue_receiver(queue, session_id="a") as receiver:
            assert receiver.session.session_id == "a"
            complete, abandon, defer, dead = await receive_all(receiver, 4)
            assert [str(message) for message in (complete, abandon, defer, dead)] == ["a 0", "a 2", "a 4", "a 5"]
            assert all(message.session_id == "a" for message in (complete, abandon, defer, dead))
            await receiver.complete_message(complete)
            await receiver.defer_message(defer)
            await receiver.dead_letter_message(dead, reason="why")
            await receiver.abandon_message(abandon)
            [again] = await receive_all(receiver, 1)
            assert (str(again), again.delivery_count) == ("a 2", 1)
            await receiver.complete_message(again)
            [deferred] = await receiver.receive_deferred_messages(defer.sequence_number)
            await receiver.complete_message(deferred)
            assert await receiver.peek_messages() == []
        # Sub-queues know no sessions.
        async with client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
            [message] = await receive_all(receiver, 1)
            assert (str(message), message.session_id, message.dead_letter_reason) == ("a 5", "a", "why")
            await receiver.complete_message(message)
    counted = counters.since()
    assert counted["connections-accepted"] == 3
    assert (counted["settled-on-links"], counted["settled-by-management"]) == (6, 1)


async def test_the_next_available_session_is_one_that_nobody_holds(sdk, emulator):
    queue = emulator.fresh("session")
    async with sdk.client() as client:
        await send(client, queue, "a", "b")
        async with client.get_queue_receiver(queue, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=5) as first:
            assert first.session.session_id == "a"
            async with client.get_queue_receiver(queue, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=5) as second:
                assert second.session.session_id == "b"
                for receiver in (first, second):
                    [message] = await receive_all(receiver, 1)
                    await receiver.complete_message(message)
    async with sdk.client(retry_total=0) as client:
        receiver = client.get_queue_receiver(queue, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=1)
        with pytest.raises(OperationTimeoutError):
            async with receiver:
                pass


async def test_a_session_that_is_held_cannot_be_locked_until_it_is_closed(sdk, emulator):
    queue = emulator.fresh("session")
    async with sdk.client(retry_total=0) as client:
        await send(client, queue, "a")
        async with client.get_queue_receiver(queue, session_id="a") as receiver:
            [message] = await receive_all(receiver, 1)
            with pytest.raises(SessionCannotBeLockedError):
                async with client.get_queue_receiver(queue, session_id="a"):
                    pass
        async with client.get_queue_receiver(queue, session_id="a") as receiver:
            [again] = await receive_all(receiver, 1)
            assert again.sequence_number == message.sequence_number
            await receiver.complete_message(again)


async def test_the_state_of_a_session_stays_until_it_is_cleared(sdk, emulator):
    queue = emulator.fresh("session")
    async with sdk.client() as client:
        async with client.get_queue_receiver(queue, session_id="a") as receiver:
            assert await receiver.session.get_state() is None
            await receiver.session.set_state("text")
            assert await receiver.session.get_state() == b"text"
            await receiver.session.set_state(b"\x00\xff" * 1000)
        async with client.get_queue_receiver(queue, session_id="a") as receiver:
            assert await receiver.session.get_state() == b"\x00\xff" * 1000
            await receiver.session.set_state(None)
            assert await receiver.session.get_state() is None


async def test_renewing_moves_the_end_of_the_session_lock(sdk, emulator, counters):
    queue = emulator.fresh("session")
    async with sdk.client() as client:
        async with client.get_queue_receiver(queue, session_id="a") as receiver:
            before = receiver.session.locked_until_utc
            now = datetime.datetime.now(datetime.timezone.utc)
            assert datetime.timedelta(seconds=50) < before - now <= datetime.timedelta(seconds=61)
            renewed = await receiver.session.renew_lock()
            assert renewed > before and receiver.session.locked_until_utc == renewed
    assert counters.since()["locks-renewed"] == 1


async def test_sessions_with_messages_or_state_are_listed(sdk, emulator):
    queue, topic = emulator.fresh("session"), emulator.fresh("topic")
    async with sdk.client() as client:
        await send(client, queue, *(f"session-{number:03}" for number in range(150)))
        began = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
        async with client.get_queue_receiver(queue, session_id="state") as receiver:
            await receiver.session.set_state("x")
        listed = [session async for session in client.list_queue_sessions(queue)]
        assert sorted(listed) == [f"session-{number:03}" for number in range(150)] + ["state"]
        listed = [session async for session in client.list_queue_sessions(queue, state_updated_after=began)]
        assert listed == ["state"]

        async with client.get_topic_sender(topic) as sender:
            await sender.send_messages(ServiceBusMessage("x", session_id="s"))
        assert [session async for session in client.list_subscription_sessions(topic, "session")] == ["s"]


async def test_sessions_and_entities_without_sessions_do_not_mix(sdk, emulator):
    session, queue = emulator.fresh("session"), emulator.fresh("queue")
    async with sdk.client(retry_total=0) as client:
        with pytest.raises(ServiceBusError, match="SessionId was not set"):
            async with client.get_queue_sender(session) as sender:
                await sender.send_messages(ServiceBusMessage("x"))
        with pytest.raises(ServiceBusError, match="not-allowed|sessionless|requires sessions"):
            async with client.get_queue_receiver(session) as receiver:
                await receiver.receive_messages(max_wait_time=1)
        with pytest.raises(ServiceBusError, match="session"):
            async with client.get_queue_receiver(queue, session_id="a") as receiver:
                await receiver.receive_messages(max_wait_time=1)


async def test_a_session_lock_that_ended_is_lost_for_good(sdk, emulator):
    queue = emulator.fresh("short-session")
    async with sdk.client() as client:
        await send(client, queue, "a", "a")
        async with client.get_queue_receiver(queue, session_id="a") as receiver:
            [message] = await receive_all(receiver, 1)
            async with sdk.client() as other:
                # The first one holds the session as long as its lock: then this one gets it.
                for _ in range(20):
                    try:
                        async with other.get_queue_receiver(queue, session_id="a") as second:
                            [stolen, _] = await receive_all(second, 2)
                            assert stolen.sequence_number == message.sequence_number
                            assert stolen.delivery_count == 1
                            await second.complete_message(stolen)
                        break
                    except SessionCannotBeLockedError:
                        pass
            with pytest.raises(SessionLockLostError):
                await receiver.complete_message(message)
            with pytest.raises(SessionLockLostError):
                await receiver.session.get_state()

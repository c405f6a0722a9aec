"""Locks of messages and sessions: renewal, the SDK's renewer, and their loss."""

import asyncio
import datetime

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import AutoLockRenewTimeout, MessageLockLostError


async def locked(client, receiver, queue):
    """A message that this receiver has locked."""
    async with client.get_queue_sender(queue) as sender:
        await sender.send_messages(ServiceBusMessage("x"))
    [message] = await receiver.receive_messages(max_wait_time=5)
    return message


async def test_renewing_moves_the_end_of_a_message_lock(sdk, emulator, counters):
    queue = emulator.fresh("queue")
    async with sdk.client() as client, client.get_queue_receiver(queue) as receiver:
        message = await locked(client, receiver, queue)
        before = message.locked_until_utc
        assert datetime.timedelta(seconds=50) < before - datetime.datetime.now(datetime.timezone.utc)
        await asyncio.sleep(0.01)
        renewed = await receiver.renew_message_lock(message)
        assert renewed > before and message.locked_until_utc == renewed
        await receiver.complete_message(message)
    counted = counters.since()
    assert (counted["locks-renewed"], counted["settled-on-links"], counted["connections-accepted"]) == (1, 1, 2)


async def test_a_lock_that_ended_cannot_be_settled_and_the_message_comes_again(sdk, emulator):
    queue = emulator.fresh("short")
    async with sdk.client() as client, client.get_queue_receiver(queue) as receiver:
        message = await locked(client, receiver, queue)
        [again] = await receiver.receive_messages(max_wait_time=10)
        assert again.sequence_number == message.sequence_number and again.delivery_count == 1
        assert again.lock_token != message.lock_token
        with pytest.raises(MessageLockLostError):
            await receiver.complete_message(message)
        await receiver.complete_message(again)


async def test_the_service_says_that_a_lock_is_lost(sdk, emulator):
    queue = emulator.fresh("queue")
    async with sdk.client() as client, client.get_queue_receiver(queue) as receiver:
        message = await locked(client, receiver, queue)
        await receiver.defer_message(message)
        [deferred] = await receiver.receive_deferred_messages(message.sequence_number)
        await receiver.complete_message(deferred)
        # What the SDK remembers is taken away, so that it asks the service.
        deferred._settled = False
        with pytest.raises(MessageLockLostError):
            await receiver.complete_message(deferred)
        deferred._settled = False
        with pytest.raises(MessageLockLostError):
            await receiver.renew_message_lock(deferred)


async def test_the_renewer_keeps_messages_and_sessions_beyond_their_lock(sdk, emulator, counters):
    queue, session = emulator.fresh("short"), emulator.fresh("short-session")
    async with sdk.client() as client, sdk.renewer(max_lock_renewal_duration=60) as renewer:
        async with client.get_queue_sender(session) as sender:
            await sender.send_messages(ServiceBusMessage("x", session_id="a"))
        async with (
            client.get_queue_receiver(queue) as receiver,
            client.get_queue_receiver(session, session_id="a", auto_lock_renewer=renewer) as session_receiver,
        ):
            message = await locked(client, receiver, queue)
            [of_session] = await session_receiver.receive_messages(max_wait_time=5)
            renewer.register(receiver, message, max_lock_renewal_duration=60)
            await asyncio.sleep(7)
            await session_receiver.complete_message(of_session)
            await receiver.complete_message(message)
            assert message.auto_renew_error is None
            assert session_receiver.session.auto_renew_error is None
    counted = counters.since()
    assert counted["locks-renewed"] >= 4
    assert (counted["settled-on-links"], counted["settled-by-management"]) == (2, 0)


async def test_the_renewer_ends_with_an_error_after_its_time(sdk, emulator):
    queue = emulator.fresh("short")
    async with sdk.client() as client, sdk.renewer() as renewer:
        async with client.get_queue_receiver(queue) as receiver:
            message = await locked(client, receiver, queue)
            renewer.register(receiver, message, max_lock_renewal_duration=1)
            await asyncio.sleep(3)
            assert isinstance(message.auto_renew_error, AutoLockRenewTimeout)
            await receiver.abandon_message(message)

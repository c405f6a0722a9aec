"""What is refused, by the SDK's own exceptions."""

import base64
import hashlib
import hmac
import time
import urllib.parse

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import (
    MessageNotFoundError,
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
)

QUICK = {"retry_total": 0}


def signed(emulator, queue, name, key, seconds):
    """A token for a queue that ends in so many seconds."""
    resource = urllib.parse.quote_plus(f"sb://{emulator.host}/{queue}")
    expiry = int(time.time()) + seconds
    digest = hmac.new(key.encode(), f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
    signature = urllib.parse.quote_plus(base64.b64encode(digest))
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={name}"


async def send(client, queue, message=None):
    async with client.get_queue_sender(queue) as sender:
        await sender.send_messages(message or ServiceBusMessage("x"))


async def receive(client, queue):
    async with client.get_queue_receiver(queue) as receiver:
        return await receiver.receive_messages(max_wait_time=1)


async def test_an_unknown_queue_is_refused_with_the_token(sdk, emulator, counters):
    # The SDK reports every refused token in the same way (docs/evidence/wire-protocol.md §2.2).
    async with sdk.client(**QUICK) as client:
        with pytest.raises(ServiceBusAuthenticationError):
            await send(client, "nowhere")
        with pytest.raises(ServiceBusAuthenticationError):
            await receive(client, "nowhere")
    assert counters.since()["connections-accepted"] == 2


async def test_an_unknown_subscription_is_refused_with_the_link(sdk, emulator):
    topic = emulator.fresh("topic")
    async with sdk.client(**QUICK) as client:
        with pytest.raises(MessagingEntityNotFoundError, match="could not be found"):
            async with client.get_subscription_receiver(topic, "nowhere") as receiver:
                await receiver.receive_messages(max_wait_time=1)


async def test_a_wrong_key_a_wrong_name_and_an_expired_token_are_refused(sdk, emulator, counters):
    queue = emulator.fresh("queue")
    expired = signed(emulator, queue, "RootManageSharedAccessKey", "SAS_KEY_VALUE", -60)
    for wrong in (
        emulator.with_key("RootManageSharedAccessKey", "d3Jvbmc="),
        emulator.with_key("nobody", "SAS_KEY_VALUE"),
        emulator.with_token(expired),
    ):
        async with sdk.client(wrong, **QUICK) as client:
            with pytest.raises(ServiceBusAuthenticationError):
                await send(client, queue)
    counted = counters.since()
    assert counted["tokens-refused"] == counted["tokens-put"] == 3
    assert counted["messages-sent"] == 0


async def test_a_token_that_somebody_else_signed_is_accepted(sdk, emulator):
    queue = emulator.fresh("queue")
    token = signed(emulator, queue, "sender", "c2VuZGVy", 600)
    async with sdk.client(emulator.with_token(token)) as client:
        await send(client, queue)


async def test_a_key_without_the_right_is_refused(sdk, emulator):
    queue = emulator.fresh("queue")
    async with sdk.client(emulator.with_key("sender", "c2VuZGVy"), **QUICK) as client:
        await send(client, queue)
        with pytest.raises(ServiceBusAuthorizationError, match="'Listen' claim"):
            await receive(client, queue)
    async with sdk.client(emulator.with_key("listener", "bGlzdGVuZXI="), **QUICK) as client:
        assert len(await receive(client, queue)) == 1
        with pytest.raises(ServiceBusAuthorizationError, match="'Send' claim"):
            await send(client, queue)


async def test_a_message_that_is_too_large_is_refused(sdk, emulator):
    queue = emulator.fresh("queue")
    async with sdk.client(**QUICK) as client:
        with pytest.raises(MessageSizeExceededError):
            await send(client, queue, [ServiceBusMessage(b"x" * 300_000)])
        # The SDK looks at the size of batches alone: this one is refused by the service.
        with pytest.raises(MessageSizeExceededError, match="exceeds the limit"):
            await send(client, queue, ServiceBusMessage(b"x" * 300_000))
        await send(client, queue, ServiceBusMessage(b"x" * 262_000))


async def test_numbers_that_are_not_there_are_not_found(sdk, emulator):
    queue = emulator.fresh("queue")
    async with sdk.client(**QUICK) as client:
        async with client.get_queue_receiver(queue) as receiver:
            with pytest.raises(MessageNotFoundError):
                await receiver.receive_deferred_messages(4711)
        async with client.get_queue_sender(queue) as sender:
            with pytest.raises(MessageNotFoundError):
                await sender.cancel_scheduled_messages(4711)

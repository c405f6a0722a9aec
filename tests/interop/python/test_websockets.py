"""AMQP over WebSockets: what works over TCP works the same, over one connection each."""

from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue, TransportType


def over_websockets(sdk, emulator):
    """A client over WebSockets. The SDK leaves the port of a connection string out of the address that it connects to,
    but not the port of a custom endpoint."""
    return sdk.client(
        transport_type=TransportType.AmqpOverWebsocket, custom_endpoint_address=f"http://{emulator.host}"
    )


async def test_messages_are_sent_received_and_settled_snd2(sdk, emulator, counters):
    queue = emulator.fresh("queue")
    large = b"\x00\xff" * 90_000
    async with over_websockets(sdk, emulator) as client:
        async with client.get_queue_sender(queue) as sender:
            await sender.send_messages([ServiceBusMessage("complete"), ServiceBusMessage("dead")])
            await sender.send_messages(ServiceBusMessage(large))
        async with client.get_queue_receiver(queue) as receiver:
            messages = []
            while len(messages) < 3:
                more = await receiver.receive_messages(max_message_count=3 - len(messages), max_wait_time=5)
                assert more, f"{len(messages)} of 3 messages came"
                messages.extend(more)
            complete, dead, big = messages
            assert (str(complete), str(dead)) == ("complete", "dead")
            assert b"".join(big.body) == large
            await receiver.complete_message(complete)
            await receiver.dead_letter_message(dead, reason="why not")
            await receiver.abandon_message(big)
            (again,) = await receiver.receive_messages(max_message_count=1, max_wait_time=5)
            assert again.delivery_count == 1 and b"".join(again.body) == large
            await receiver.complete_message(again)
        async with client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
            (dead,) = await receiver.receive_messages(max_message_count=1, max_wait_time=5)
            assert dead.dead_letter_reason == "why not"
            await receiver.complete_message(dead)
    counted = counters.since()
    assert counted["connections-accepted"] == 3
    assert counted["messages-sent"] == 3 and counted["messages-delivered"] == 5
    assert counted["settled-by-management"] == 0


async def test_a_session_is_accepted_and_keeps_its_state(sdk, emulator):
    queue = emulator.fresh("session")
    async with over_websockets(sdk, emulator) as client:
        async with client.get_queue_sender(queue) as sender:
            await sender.send_messages(ServiceBusMessage("one", session_id="a"))
        async with client.get_queue_receiver(queue, session_id="a") as receiver:
            (message,) = await receiver.receive_messages(max_message_count=1, max_wait_time=5)
            assert (str(message), message.session_id) == ("one", "a")
            await receiver.complete_message(message)
            await receiver.session.set_state(b"state")
            assert await receiver.session.get_state() == b"state"
            await receiver.session.renew_lock()

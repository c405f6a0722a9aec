"""Topics: every subscription gets what its rules let through."""

from azure.servicebus import ServiceBusMessage, ServiceBusReceiveMode, ServiceBusSubQueue


async def received(client, topic, subscription, **options):
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    receiver = client.get_subscription_receiver(topic, subscription, receive_mode=mode, **options)
    async with receiver:
        return await receiver.receive_messages(max_message_count=10, max_wait_time=2)


async def test_subscriptions_get_copies_by_their_rules(sdk, emulator, counters):
    topic = emulator.fresh("topic")
    async with sdk.client() as client:
        async with client.get_topic_sender(topic) as sender:
            await sender.send_messages([
                ServiceBusMessage("a", application_properties={"colour": "red", "size": 1}, session_id="s"),
                ServiceBusMessage("b", application_properties={"colour": "red", "size": 2.5}, session_id="s"),
                ServiceBusMessage("c", application_properties={"colour": "blue", "size": 3}, session_id="s"),
            ])
        assert [str(message) for message in await received(client, topic, "all")] == ["a", "b", "c"]
        [red] = await received(client, topic, "red")
        assert str(red) == "b" and red.application_properties[b"matched"] == b"red"
        assert len(await received(client, topic, "session", session_id="s")) == 3
    assert counters.since()["connections-accepted"] == 4


async def test_subscriptions_settle_defer_and_dead_letter_as_queues_do(sdk, emulator, counters):
    topic = emulator.fresh("topic")
    async with sdk.client() as client:
        async with client.get_topic_sender(topic) as sender:
            await sender.send_messages([ServiceBusMessage(body, session_id="s") for body in "abc"])
        async with client.get_subscription_receiver(topic, "all") as receiver:
            messages = []
            while len(messages) < 3:
                messages += await receiver.receive_messages(max_message_count=3 - len(messages), max_wait_time=5)
            a, b, c = messages
            await receiver.complete_message(a)
            await receiver.defer_message(b)
            await receiver.dead_letter_message(c, reason="why")
            [b] = await receiver.receive_deferred_messages(b.sequence_number)
            await receiver.complete_message(b)
            assert await receiver.peek_messages(10) == []
        [dead] = await received(client, topic, "all", sub_queue=ServiceBusSubQueue.DEAD_LETTER)
        assert (str(dead), dead.dead_letter_reason) == ("c", "why")
    counted = counters.since()
    assert (counted["settled-on-links"], counted["settled-by-management"]) == (3, 1)
    assert counted["connections-accepted"] == 3

"""What administration sees of messages, and what messages see of administration."""

import time
from datetime import datetime, timedelta, timezone

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import MessagingEntityDisabledError, MessagingEntityNotFoundError, ServiceBusError
from azure.servicebus.management import EntityStatus, SqlRuleFilter


def later():
    return datetime.now(timezone.utc) + timedelta(hours=1)


def test_adm53_adm55_adm56_queue_counts(client, messaging):
    client.create_queue("queue")
    time.sleep(0.01)
    client.update_queue(client.get_queue("queue"))
    time.sleep(0.01)
    with messaging.get_queue_sender("queue") as sender, messaging.get_queue_receiver("queue") as receiver:
        sender.send_messages([ServiceBusMessage("one"), ServiceBusMessage("two")])
        sender.schedule_messages(ServiceBusMessage("three"), later())
        [first] = receiver.receive_messages(max_message_count=1, max_wait_time=10)
        receiver.dead_letter_message(first)
        [second] = receiver.receive_messages(max_message_count=1, max_wait_time=10)
        receiver.abandon_message(second)
    for runtime in (client.get_queue_runtime_properties("queue"), client.list_queues_runtime_properties()[0]):
        assert (runtime.active_message_count, runtime.dead_letter_message_count) == (1, 1)
        assert (runtime.scheduled_message_count, runtime.total_message_count) == (1, 3)
        assert (runtime.transfer_message_count, runtime.transfer_dead_letter_message_count) == (0, 0)
        assert runtime.size_in_bytes > 0
        assert runtime.created_at_utc < runtime.updated_at_utc < runtime.accessed_at_utc


def test_adm54_adm59_topic_counts(client, messaging):
    client.create_topic("topic")
    client.create_subscription("topic", "sub")
    with messaging.get_topic_sender("topic") as sender:
        sender.send_messages([ServiceBusMessage("one"), ServiceBusMessage("two")])
        sender.schedule_messages(ServiceBusMessage("three"), later())
    with messaging.get_subscription_receiver("topic", "sub") as receiver:
        [first] = receiver.receive_messages(max_message_count=1, max_wait_time=10)
        receiver.dead_letter_message(first)
    runtime = client.get_subscription_runtime_properties("topic", "sub")
    assert (runtime.active_message_count, runtime.dead_letter_message_count, runtime.total_message_count) == (1, 1, 2)
    topic = client.get_topic_runtime_properties("topic")
    assert (topic.scheduled_message_count, topic.subscription_count) == (1, 1)
    assert (topic.sql_filter_count, topic.correlation_filter_count) == (1, 0)
    assert topic.size_in_bytes > 0


def test_snd48_updates_under_open_links(client, messaging):
    client.create_queue("queue")
    with messaging.get_queue_sender("queue") as sender:
        for number in range(5):
            sender.send_messages(ServiceBusMessage(str(number)))
            client.update_queue(client.get_queue("queue"))
    with messaging.get_queue_receiver("queue") as receiver:
        bodies = []
        while len(bodies) < 5:
            for message in receiver.receive_messages(max_message_count=5, max_wait_time=10):
                bodies.append(str(message))
                receiver.complete_message(message)
            client.update_queue(client.get_queue("queue"))
    assert sorted(bodies) == ["0", "1", "2", "3", "4"]
    assert client.get_queue_runtime_properties("queue").total_message_count == 0


def test_settings_take_effect_on_live_entities(client, messaging):
    client.create_queue("queue", lock_duration=timedelta(minutes=5))
    queue = client.get_queue("queue")
    queue.lock_duration = timedelta(seconds=10)
    queue.max_delivery_count = 1
    client.update_queue(queue)
    with messaging.get_queue_sender("queue") as sender, messaging.get_queue_receiver("queue") as receiver:
        sender.send_messages(ServiceBusMessage("one"))
        [message] = receiver.receive_messages(max_message_count=1, max_wait_time=10)
        assert message.locked_until_utc - datetime.now(timezone.utc) < timedelta(seconds=11)
        receiver.abandon_message(message)
    assert client.get_queue_runtime_properties("queue").dead_letter_message_count == 1

    client.create_queue("target")
    queue = client.get_queue("queue")
    queue.forward_to = "target"
    client.update_queue(queue)
    with messaging.get_queue_sender("queue") as sender:
        sender.send_messages(ServiceBusMessage("two"))
    assert client.get_queue_runtime_properties("target").active_message_count == 1


def test_rules_take_effect_on_live_subscriptions(client, messaging):
    client.create_topic("topic")
    client.create_subscription("topic", "sub")
    with messaging.get_topic_sender("topic") as sender:
        sender.send_messages(ServiceBusMessage("all"))
        client.create_rule("topic", "sub", "red", filter=SqlRuleFilter("color = 'red'"))
        client.delete_rule("topic", "sub", "$Default")
        sender.send_messages(ServiceBusMessage("blue", application_properties={"color": "blue"}))
        sender.send_messages(ServiceBusMessage("red", application_properties={"color": "red"}))
    assert client.get_subscription_runtime_properties("topic", "sub").active_message_count == 2


def test_a_disabled_queue_refuses_until_it_is_active_again(client, messaging):
    client.create_queue("queue")
    with messaging.get_queue_sender("queue") as sender:
        sender.send_messages(ServiceBusMessage("one"))
        client.update_queue(client.get_queue("queue"), status=EntityStatus.DISABLED)
        assert client.get_queue("queue").status == EntityStatus.DISABLED
        with pytest.raises(MessagingEntityDisabledError):
            sender.send_messages(ServiceBusMessage("two"))
        client.update_queue(client.get_queue("queue"), status=EntityStatus.ACTIVE)
        sender.send_messages(ServiceBusMessage("three"))
    assert client.get_queue_runtime_properties("queue").active_message_count == 2


def test_a_deleted_queue_is_gone_for_open_links(client, messaging):
    client.create_queue("queue")
    with messaging.get_queue_sender("queue") as sender:
        sender.send_messages(ServiceBusMessage("one"))
        client.delete_queue("queue")
        with pytest.raises((MessagingEntityNotFoundError, ServiceBusError)):
            sender.send_messages(ServiceBusMessage("two"))
    client.create_queue("queue")
    assert client.get_queue_runtime_properties("queue").total_message_count == 0

"""Every entity with every property away from its default, as the Python SDK sets and reads it."""

from datetime import datetime, timedelta

import pytest
from azure.servicebus.management import (
    AccessRights,
    AuthorizationRule,
    CorrelationRuleFilter,
    EntityStatus,
    FalseRuleFilter,
    SqlRuleAction,
    SqlRuleFilter,
    TrueRuleFilter,
)


def rule(name="key", *rights):
    return AuthorizationRule(
        type="SharedAccessAuthorizationRule",
        claim_type="SharedAccessKey",
        claim_value="None",
        rights=list(rights or [AccessRights.MANAGE, AccessRights.SEND, AccessRights.LISTEN]),
        key_name=name,
        primary_key="P" * 43 + "=",
        secondary_key="S" * 43 + "=",
    )


def differences(entity, expected):
    """The properties that are not as expected."""
    return {
        name: (getattr(entity, name), value)
        for name, value in expected.items()
        if getattr(entity, name) != value
    }


LONGEST = timedelta(days=10675199, seconds=10085, microseconds=477581)

QUEUE = dict(
    auto_delete_on_idle=timedelta(minutes=6),
    dead_lettering_on_message_expiration=True,
    default_message_time_to_live=timedelta(days=2),
    duplicate_detection_history_time_window=timedelta(minutes=5),
    enable_batched_operations=False,
    enable_express=True,
    enable_partitioning=True,
    lock_duration=timedelta(seconds=45),
    max_delivery_count=101,
    requires_duplicate_detection=True,
    user_metadata="text with <angles> & ümläuts",
    max_message_size_in_kilobytes=256,
)


def test_queue(client):
    client.create_queue("target")
    created = client.create_queue(
        "queue",
        max_size_in_megabytes=2048,
        authorization_rules=[rule()],
        forward_to="target",
        forward_dead_lettered_messages_to="target",
        **QUEUE,
    )
    assert created.name == "queue"
    for queue in (created, client.get_queue("queue"), client.list_queues()[0]):
        # F8: what forwards is never idle.
        assert differences(queue, QUEUE | dict(auto_delete_on_idle=LONGEST)) == {}
        # ADM24
        assert queue.max_size_in_megabytes == 32768
        assert queue.forward_to.endswith("/target") and queue.forward_to.startswith("sb://localhost")
        assert queue.forward_dead_lettered_messages_to.endswith("/target")
        assert queue.status == EntityStatus.ACTIVE and queue.availability_status == "Available"
        [key] = queue.authorization_rules
        assert key.rights == [AccessRights.MANAGE, AccessRights.SEND, AccessRights.LISTEN]
        assert (key.key_name, key.primary_key, key.secondary_key) == ("key", "P" * 43 + "=", "S" * 43 + "=")

    queue = client.get_queue("queue")
    changed = dict(
        auto_delete_on_idle=timedelta(minutes=10),
        dead_lettering_on_message_expiration=False,
        default_message_time_to_live=timedelta(minutes=11),
        duplicate_detection_history_time_window=timedelta(minutes=12),
        enable_batched_operations=True,
        lock_duration=timedelta(seconds=13),
        max_delivery_count=14,
        status=EntityStatus.SEND_DISABLED,
        user_metadata="other",
    )
    for name, value in changed.items():
        setattr(queue, name, value)
    queue.authorization_rules = [rule("other", AccessRights.LISTEN)]
    queue.forward_to = None
    client.update_queue(queue)
    read = client.get_queue("queue")
    assert differences(read, changed | dict(auto_delete_on_idle=LONGEST)) == {}
    assert read.forward_to is None and read.forward_dead_lettered_messages_to.endswith("/target")
    assert [key.key_name for key in read.authorization_rules] == ["other"]
    assert read.max_size_in_megabytes == 32768

    client.update_queue(read, max_delivery_count=15)
    assert client.get_queue("queue").max_delivery_count == 15
    client.delete_queue("queue")
    assert [queue.name for queue in client.list_queues()] == ["target"]


def test_queue_with_sessions(client):
    client.create_queue("sessions", requires_session=True)
    assert client.get_queue("sessions").requires_session is True


def test_adm20_queue_defaults(client):
    client.create_queue("plain")
    assert (
        differences(
            client.get_queue("plain"),
            dict(
                auto_delete_on_idle=LONGEST,
                dead_lettering_on_message_expiration=False,
                default_message_time_to_live=LONGEST,
                duplicate_detection_history_time_window=timedelta(minutes=10),
                enable_batched_operations=True,
                enable_express=False,
                enable_partitioning=False,
                lock_duration=timedelta(minutes=1),
                max_delivery_count=10,
                max_size_in_megabytes=1024,
                requires_duplicate_detection=False,
                requires_session=False,
                status=EntityStatus.ACTIVE,
                forward_to=None,
                forward_dead_lettered_messages_to=None,
                user_metadata=None,
                max_message_size_in_kilobytes=256,
            ),
        )
        == {}
    )


# The SDK takes `filtering_messages_before_publishing` too, but never sends it.
TOPIC = dict(
    default_message_time_to_live=timedelta(minutes=3),
    requires_duplicate_detection=True,
    duplicate_detection_history_time_window=timedelta(minutes=12),
    enable_batched_operations=False,
    support_ordering=False,
    auto_delete_on_idle=timedelta(minutes=7),
    enable_express=True,
    user_metadata="meta",
    max_size_in_megabytes=3072,
    max_message_size_in_kilobytes=256,
)


def test_topic(client):
    created = client.create_topic("topic", authorization_rules=[rule()], **TOPIC)
    for topic in (created, client.get_topic("topic"), client.list_topics()[0]):
        assert differences(topic, TOPIC) == {}
        assert [key.key_name for key in topic.authorization_rules] == ["key"]
        assert topic.enable_partitioning is False
    topic = client.get_topic("topic")
    changed = dict(
        default_message_time_to_live=timedelta(minutes=11),
        duplicate_detection_history_time_window=timedelta(minutes=13),
        enable_batched_operations=True,
        support_ordering=True,
        auto_delete_on_idle=timedelta(minutes=17),
        status=EntityStatus.DISABLED,
        user_metadata="other",
        max_size_in_megabytes=5120,
    )
    for name, value in changed.items():
        setattr(topic, name, value)
    client.update_topic(topic)
    assert differences(client.get_topic("topic"), changed) == {}
    client.delete_topic("topic")
    assert client.list_topics() == []


def test_adm24_partitioned_topic(client):
    client.create_topic("partitioned", enable_partitioning=True, max_size_in_megabytes=4096)
    topic = client.get_topic("partitioned")
    assert topic.enable_partitioning is True and topic.max_size_in_megabytes == 65536


SUBSCRIPTION = dict(
    lock_duration=timedelta(seconds=5),
    default_message_time_to_live=timedelta(seconds=90),
    dead_lettering_on_message_expiration=True,
    dead_lettering_on_filter_evaluation_exceptions=False,
    max_delivery_count=5,
    enable_batched_operations=False,
    user_metadata="meta",
    auto_delete_on_idle=timedelta(hours=1),
)


def test_subscription(client):
    client.create_queue("target")
    client.create_topic("topic")
    created = client.create_subscription(
        "topic", "sub", forward_to="target", forward_dead_lettered_messages_to="target", **SUBSCRIPTION
    )
    for subscription in (created, client.get_subscription("topic", "sub"), client.list_subscriptions("topic")[0]):
        assert subscription.name == "sub"
        assert differences(subscription, SUBSCRIPTION | dict(auto_delete_on_idle=LONGEST)) == {}
        assert subscription.forward_to.endswith("/target")
        assert subscription.forward_dead_lettered_messages_to.endswith("/target")
    subscription = client.get_subscription("topic", "sub")
    changed = dict(
        lock_duration=timedelta(seconds=50),
        default_message_time_to_live=timedelta(minutes=2),
        dead_lettering_on_message_expiration=False,
        dead_lettering_on_filter_evaluation_exceptions=True,
        max_delivery_count=6,
        enable_batched_operations=True,
        status=EntityStatus.RECEIVE_DISABLED,
        user_metadata="other",
        auto_delete_on_idle=timedelta(minutes=5),
    )
    for name, value in changed.items():
        setattr(subscription, name, value)
    client.update_subscription("topic", subscription)
    found = client.get_subscription("topic", "sub")
    assert differences(found, changed | dict(auto_delete_on_idle=LONGEST)) == {}
    client.create_subscription("topic", "sessions", requires_session=True)
    assert client.get_subscription("topic", "sessions").requires_session is True
    client.delete_subscription("topic", "sub")
    assert [one.name for one in client.list_subscriptions("topic")] == ["sessions"]


@pytest.mark.parametrize(
    "filter",
    [
        TrueRuleFilter(),
        FalseRuleFilter(),
        SqlRuleFilter("priority = 'low'"),
        SqlRuleFilter(
            "s = @string AND i = @int AND l = @long AND x = @float AND b = @bool AND d = @date AND t = @span",
            parameters={
                "@string": "str",
                "@int": 5,
                "@long": 1 << 40,
                "@float": 7.5,
                "@bool": True,
                "@date": datetime(2026, 11, 24, 1, 2, 3),
                "@span": timedelta(days=1, hours=2, minutes=10),
            },
        ),
        CorrelationRuleFilter(
            correlation_id="1",
            message_id="2",
            to="3",
            reply_to="4",
            label="5",
            session_id="6",
            reply_to_session_id="7",
            content_type="8",
            properties={
                "string": "str",
                "int": 5,
                "long": 1 << 40,
                "float": 7.5,
                "bool": False,
                "date": datetime(2026, 11, 24, 1, 2, 3),
                "span": timedelta(seconds=1.5),
            },
        ),
    ],
    ids=["true", "false", "sql", "sql-parameters", "correlation"],
)
def test_adm65_to_adm68_rule(client, filter):
    client.create_topic("topic")
    client.create_subscription("topic", "sub")
    action = SqlRuleAction("SET priority = @value", parameters={"@value": "low"})
    created = client.create_rule("topic", "sub", "rule", filter=filter, action=action)
    for found in (created, client.get_rule("topic", "sub", "rule"), client.list_rules("topic", "sub")[1]):
        assert found.name == "rule"
        assert type(found.filter) is type(filter)
        for name, value in vars(filter).items():
            read = getattr(found.filter, name)
            if name in ("parameters", "properties"):
                read, value = plain(read or {}), plain(value or {})
            # The SDK's false filter has a text of its own, which the service does not keep.
            if name != "requires_preprocessing" and not isinstance(filter, FalseRuleFilter):
                assert read == value, name
        assert found.action.sql_expression == "SET priority = @value"
        assert plain(found.action.parameters) == {"@value": "low"}
        assert found.created_at_utc is not None
    found = client.get_rule("topic", "sub", "rule")
    found.filter = SqlRuleFilter("a = 1")
    found.action = None
    client.update_rule("topic", "sub", found)
    read = client.get_rule("topic", "sub", "rule")
    assert read.filter.sql_expression == "a = 1" and read.action is None
    client.delete_rule("topic", "sub", "rule")
    assert [one.name for one in client.list_rules("topic", "sub")] == ["$Default"]


def plain(values):
    """Times without their zone: the SDK sends none, and the service means UTC."""
    return {
        key: value.replace(tzinfo=None) if isinstance(value, datetime) else value for key, value in values.items()
    }


def test_adm23_rule_defaults(client):
    client.create_topic("topic")
    client.create_subscription("topic", "sub")
    [default] = client.list_rules("topic", "sub")
    assert default.name == "$Default" and isinstance(default.filter, TrueRuleFilter) and default.action is None
    assert default.filter.sql_expression == "1=1"
    created = client.create_rule("topic", "sub", "plain")
    assert isinstance(created.filter, TrueRuleFilter)


def test_adm64_namespace(client):
    namespace = client.get_namespace_properties()
    assert namespace.name == "sbemulatorns"
    assert namespace.namespace_type == "Messaging" and namespace.messaging_sku == "Standard"
    assert namespace.created_at_utc and namespace.modified_at_utc and namespace.messaging_units is None

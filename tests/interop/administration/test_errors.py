"""The error classes of the Python SDK for what the endpoint refuses."""

from datetime import timedelta

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.servicebus.management import SqlRuleFilter


@pytest.fixture
def furnished(client):
    client.create_queue("queue")
    client.create_topic("topic")
    client.create_subscription("topic", "sub")
    client.create_rule("topic", "sub", "rule")
    return client


def test_adm35_to_adm42_missing(furnished):
    client = furnished
    for call in (
        lambda: client.get_queue("none"),
        lambda: client.get_queue_runtime_properties("none"),
        lambda: client.get_topic("none"),
        lambda: client.get_subscription("topic", "none"),
        lambda: client.get_subscription("none", "sub"),
        lambda: client.get_rule("topic", "sub", "none"),
        lambda: client.delete_queue("none"),
        lambda: client.delete_topic("none"),
        lambda: client.delete_subscription("topic", "none"),
        lambda: client.delete_rule("topic", "sub", "none"),
        lambda: client.create_subscription("none", "sub"),
        lambda: client.create_rule("topic", "none", "rule"),
    ):
        with pytest.raises(ResourceNotFoundError):
            call()


def test_adm42_another_kind(furnished):
    # This SDK does not expect it; what matters is that it takes one kind for the other nowhere.
    for call in (lambda: furnished.get_queue("topic"), lambda: furnished.get_topic("queue")):
        with pytest.raises((ResourceNotFoundError, AttributeError)):
            call()


def test_adm38_adm39_update_of_what_is_missing(furnished):
    client = furnished
    queue, topic = client.get_queue("queue"), client.get_topic("topic")
    subscription, rule = client.get_subscription("topic", "sub"), client.get_rule("topic", "sub", "rule")
    client.delete_rule("topic", "sub", "rule")
    client.delete_subscription("topic", "sub")
    with pytest.raises(ResourceNotFoundError):
        client.update_rule("topic", "sub", rule)
    with pytest.raises(ResourceNotFoundError):
        client.update_subscription("topic", subscription)
    client.delete_queue("queue")
    client.delete_topic("topic")
    for call in (lambda: client.update_queue(queue), lambda: client.update_topic(topic)):
        with pytest.raises(ResourceNotFoundError, match="SubCode=40400"):
            call()


def test_adm43_adm44_duplicate(furnished):
    client = furnished
    for call, text in (
        (lambda: client.create_queue("queue"), "SubCode=40900"),
        (lambda: client.create_topic("queue"), "SubCode=40900"),
        (lambda: client.create_topic("topic"), "SubCode=40900"),
        (lambda: client.create_subscription("topic", "sub"), "already exists"),
        (lambda: client.create_rule("topic", "sub", "rule"), "already exists"),
    ):
        with pytest.raises(ResourceExistsError, match=text):
            call()


def test_invalid(furnished):
    client = furnished
    for call, text in (
        (lambda: client.create_queue("long", lock_duration=timedelta(days=25)), "exceeds the allowed maximum of '5' minutes"),
        (lambda: client.create_subscription("topic", "long", lock_duration=timedelta(days=25)), "exceeds the allowed maximum"),
        (lambda: client.create_queue("size", max_size_in_megabytes=16384), "1024;2048;3072;4096;5120"),
        (lambda: client.create_queue("lonely", forward_to="nowhere"), "does not exist"),
        (lambda: client.create_queue("char$"), "not allowed by Service Bus"),
        (lambda: client.create_rule("topic", "sub", "bad", filter=SqlRuleFilter("a =")), "There was an error parsing the SQL expression"),
        (lambda: client.list_queues(start_index=-1, max_page_size=-1), "'skip' should be non-negative"),
        (lambda: client.list_queues(max_page_size=-1), "'top' should be non-negative"),
    ):
        with pytest.raises(HttpResponseError, match=text) as raised:
            call()
        assert raised.value.status_code == 400
    queue = client.get_queue("queue")
    queue.requires_session = True
    with pytest.raises(HttpResponseError, match="RequiresSession property of an existing Queue cannot be changed"):
        client.update_queue(queue)
    assert client.get_queue("queue").requires_session is False


@pytest.mark.parametrize("name, key", [("nobody", "SAS_KEY_VALUE"), ("RootManageSharedAccessKey", "wrong")])
def test_unauthorized(emulator, kind, furnished, name, key):
    client = kind(emulator.admin_connection_string(name, key), f"http://localhost:{emulator.admin}")
    for call in (
        lambda: client.get_queue("queue"),
        lambda: client.get_subscription("topic", "sub"),
        lambda: client.list_topics(),
        lambda: client.create_queue("new"),
        lambda: client.delete_queue("queue"),
        lambda: client.get_namespace_properties(),
    ):
        with pytest.raises((ClientAuthenticationError, HttpResponseError)) as raised:
            call()
        assert raised.value.status_code == 401
    client.close()
    assert [queue.name for queue in furnished.list_queues()] == ["queue"]

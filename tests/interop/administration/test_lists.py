"""Lists and pages of the Python SDK."""

import pytest


def test_adm62_pages_past_100(client):
    names = [f"queue-{number:03}" for number in range(230)]
    for name in reversed(names):
        # The service keeps names in lower case (docs/evidence/field-reports.md F65).
        client.create_queue(name.title())
    assert [queue.name for queue in client.list_queues()] == names
    assert [queue.name for queue in client.list_queues_runtime_properties()] == names
    assert [queue.name for queue in client.list_queues(start_index=225, max_page_size=2)] == names[225:]
    assert [queue.name for queue in client.list_queues(max_page_size=99)] == names


@pytest.mark.parametrize("size", [1, 3, 4])
def test_adm62_pages_of_topics_subscriptions_and_rules(client, size):
    names = ["a", "b", "c", "d"]
    for name in names:
        client.create_topic(name)
        client.create_subscription("a", name)
        client.create_rule("a", "a", name)
    assert [topic.name for topic in client.list_topics(max_page_size=size)] == names
    assert [topic.name for topic in client.list_topics_runtime_properties(max_page_size=size)] == names
    assert [one.name for one in client.list_subscriptions("a", max_page_size=size)] == names
    assert [one.name for one in client.list_subscriptions_runtime_properties("a", max_page_size=size)] == names
    assert [rule.name for rule in client.list_rules("a", "a", max_page_size=size)] == ["$Default", *names]


def test_empty_lists(client):
    client.create_topic("topic")
    assert client.list_queues() == []
    assert client.list_subscriptions("topic") == []

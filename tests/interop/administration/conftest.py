"""Fixtures: an emulator, and clients of both kinds over HTTP."""

import pytest
from azure.servicebus import ServiceBusClient
from clients import Aio, Sync
from emulator import Emulator


@pytest.fixture(scope="session")
def emulator():
    emulator = Emulator()
    yield emulator
    emulator.stop()


@pytest.fixture(params=[Sync, Aio], ids=["sync", "aio"])
def kind(request):
    return request.param


@pytest.fixture
def client(emulator, kind):
    """A client of an empty namespace."""
    client = kind(emulator.admin_connection_string(), f"http://localhost:{emulator.admin}")
    for queue in client.list_queues():
        client.delete_queue(queue.name)
    for topic in client.list_topics():
        client.delete_topic(topic.name)
    yield client
    client.close()


@pytest.fixture
def messaging(emulator):
    # Waits between attempts would only make the suite slow.
    options = dict(retry_backoff_factor=0.01, retry_total=3)
    with ServiceBusClient.from_connection_string(emulator.connection_string, **options) as client:
        yield client

"""Fixtures: an emulator, both APIs of the SDK, and what the emulator counts."""

import asyncio
import inspect

import pytest
from azure.servicebus import ServiceBusClient
from emulator import Emulator
from sdk import Sdk


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs tests that are coroutines."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}), 60))
    return True


@pytest.fixture(scope="session")
def emulator():
    emulator = Emulator()
    yield emulator
    emulator.stop()


@pytest.fixture(params=["sync", "aio"])
def sdk(request, emulator):
    return Sdk(request.param, emulator)


class Counters:
    """What the emulator has counted since the last call of `since`.

    They tell a healthy conversation from one that reconnects, or settles a second time through `$management`, for
    every message (docs/evidence/wire-protocol.md §0, fact 8).
    """

    def __init__(self, emulator):
        self.client = ServiceBusClient.from_connection_string(emulator.connection_string)
        self.node = self.client.get_queue_sender("queue-0")
        self.node.__enter__()
        self.before = self.read()

    def read(self):
        def entries(status, message, description, amqp_transport):
            return {key.decode(): value for key, value in message.value.items()}

        return self.node._mgmt_request_response_with_retry(b"com.servicebus-emulator:statistics", {}, entries)

    def since(self):
        now = self.read()
        difference = {key: value - self.before[key] for key, value in now.items()}
        difference["management-requests"] -= 1
        self.before = now
        return difference

    def close(self):
        self.client.close()


@pytest.fixture(scope="session")
def counting(emulator):
    counters = Counters(emulator)
    yield counters
    counters.close()


@pytest.fixture
def counters(counting):
    counting.since()
    return counting

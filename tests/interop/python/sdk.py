"""The SDK's two APIs behind one shape, so that every test is written once and runs on both.

The asynchronous API is used as it is. `Awaited` gives the synchronous one its shape: calls are made when they are
awaited, and block.
"""

import azure.servicebus as sync
import azure.servicebus.aio as aio

# What is an ordinary call in the asynchronous API too.
PLAIN = ("get_queue_", "get_topic_", "get_subscription_", "list_", "register", "add_message")


def wrapped(value):
    module = type(value).__module__
    if module.startswith("azure.servicebus._servicebus_") or type(value).__name__ == "ItemPaged":
        return Awaited(value)
    return value


def unwrapped(value):
    return value.inner if isinstance(value, Awaited) else value


class Awaited:
    """Something of the synchronous API."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        value = getattr(self.inner, name)
        if not callable(value):
            return wrapped(value)

        def call(*arguments, **named):
            return wrapped(value(*map(unwrapped, arguments), **named))

        if name.startswith(PLAIN):
            return call

        async def awaited(*arguments, **named):
            return call(*arguments, **named)

        return awaited

    async def __aenter__(self):
        self.inner.__enter__()
        return self

    async def __aexit__(self, *raised):
        self.inner.__exit__(*raised)

    async def __aiter__(self):
        for value in self.inner:
            yield value


class Sdk:
    """One of the two APIs: `sync` or `aio`."""

    def __init__(self, name, emulator):
        self.name = name
        self.emulator = emulator

    def client(self, connection_string=None, **options):
        connection_string = connection_string or self.emulator.connection_string
        if self.name == "aio":
            return aio.ServiceBusClient.from_connection_string(connection_string, **options)
        return Awaited(sync.ServiceBusClient.from_connection_string(connection_string, **options))

    def renewer(self, **options):
        if self.name == "aio":
            return aio.AutoLockRenewer(**options)
        return Awaited(sync.AutoLockRenewer(**options))

"""Both administration clients of the Python SDK behind one interface: calls return results, lists are whole."""

import asyncio

from azure.servicebus.aio.management import ServiceBusAdministrationClient as AsyncClient
from azure.servicebus.management import ServiceBusAdministrationClient as SyncClient


class Sync:
    def __init__(self, connection_string, base=None, **options):
        self.client = SyncClient.from_connection_string(connection_string, **options)
        if base:
            # The client speaks HTTPS whatever the connection string says (docs/evidence/wire-protocol.md §10).
            self.client._impl._client._base_url = base

    def __getattr__(self, name):
        method = getattr(self.client, name)

        def call(*arguments, **keywords):
            result = method(*arguments, **keywords)
            return list(result) if name.startswith("list_") else result

        return call

    def close(self):
        self.client.close()


class Aio:
    def __init__(self, connection_string, base=None, **options):
        self.loop = asyncio.new_event_loop()
        self.client = self.run(self.make(connection_string, base, options))

    @staticmethod
    async def make(connection_string, base, options):
        client = AsyncClient.from_connection_string(connection_string, **options)
        if base:
            client._impl._client._base_url = base
        return client

    def run(self, work):
        return self.loop.run_until_complete(asyncio.wait_for(work, 60))

    def __getattr__(self, name):
        method = getattr(self.client, name)

        async def collect(items):
            return [item async for item in items]

        def call(*arguments, **keywords):
            result = method(*arguments, **keywords)
            return self.run(collect(result) if name.startswith("list_") else result)

        return call

    def close(self):
        self.run(self.client.close())
        self.loop.close()

"""Runs a sample of the SDK unchanged, on an emulator.

    run_sample.py FILE ADMIN_PORT

What a sample expects of Azure is put in place of it: a credential of Entra ID whose tokens the emulator takes, plain
TCP, and HTTP for administration. Samples that would sleep for minutes or wait for messages for ever do so for seconds.
"""

import asyncio
import base64
import json
import logging
import runpy
import sys
import time
import types

import azure.servicebus
import azure.servicebus.aio
import azure.servicebus.aio.management
import azure.servicebus.management
from azure.core.credentials import AccessToken
from azure.servicebus._base_handler import ServiceBusSharedKeyCredential
from azure.servicebus.aio._base_handler_async import ServiceBusSharedKeyCredential as AsyncSharedKeyCredential

LONGEST_SLEEP = 2
LONGEST_SILENCE = 2


class Credential:
    """Stands for every credential of azure-identity."""

    def __init__(self, *arguments, **options):
        pass

    def token(self):
        expires = int(time.time()) + 3600
        parts = [{"alg": "none"}, {"exp": expires, "aud": "https://servicebus.azure.net"}]
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        return AccessToken(".".join([*encoded, "c2lnbmF0dXJl"]), expires)

    def get_token(self, *scopes, **options):
        return self.token()

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        pass


class AsyncCredential(Credential):
    async def get_token(self, *scopes, **options):
        return self.token()

    async def close(self):
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *raised):
        pass


def identity():
    for name, credential in (("azure.identity", Credential), ("azure.identity.aio", AsyncCredential)):
        module = types.ModuleType(name)
        module.DefaultAzureCredential = module.EnvironmentCredential = credential
        sys.modules[name] = module


def plain_tcp(module):
    """Clients that are made from a host's name and a credential speak plain TCP too."""

    class ServiceBusClient(module.ServiceBusClient):
        def __init__(self, fully_qualified_namespace, credential, **options):
            options.setdefault("use_tls", False)
            super().__init__(fully_qualified_namespace, credential, **options)

        def get_queue_receiver(self, *arguments, **options):
            options.setdefault("max_wait_time", LONGEST_SILENCE)
            return super().get_queue_receiver(*arguments, **options)

        def get_subscription_receiver(self, *arguments, **options):
            options.setdefault("max_wait_time", LONGEST_SILENCE)
            return super().get_subscription_receiver(*arguments, **options)

    module.ServiceBusClient = ServiceBusClient


def plain_http(module, port, key):
    """The administration client knows no other scheme than https by itself, and sends tokens of Entra ID over TLS
    alone: it gets a key instead."""

    class ServiceBusAdministrationClient(module.ServiceBusAdministrationClient):
        def __init__(self, fully_qualified_namespace, credential, **options):
            credential = key("RootManageSharedAccessKey", "SAS_KEY_VALUE")
            super().__init__(fully_qualified_namespace, credential, **options)
            self._impl._client._base_url = f"http://localhost:{port}"

    module.ServiceBusAdministrationClient = ServiceBusAdministrationClient


def short_sleeps():
    sleep, async_sleep = time.sleep, asyncio.sleep
    time.sleep = lambda seconds: sleep(min(seconds, LONGEST_SLEEP))
    asyncio.sleep = lambda seconds, *result: async_sleep(min(seconds, LONGEST_SLEEP), *result)


def main():
    file, port = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING)
    identity()
    for module in (azure.servicebus, azure.servicebus.aio):
        plain_tcp(module)
    plain_http(azure.servicebus.management, port, ServiceBusSharedKeyCredential)
    plain_http(azure.servicebus.aio.management, port, AsyncSharedKeyCredential)
    short_sleeps()
    sys.argv = [file]
    runpy.run_path(file, run_name="__main__")


main()

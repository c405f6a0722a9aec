"""The endpoint itself: HTTPS, older versions of the API, health, and requests that are none."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import socket
import time
from urllib.parse import quote

import pytest
from azure.core.exceptions import HttpResponseError
from azure.servicebus import ServiceBusMessage
from clients import Sync


def test_https_on_the_same_port(emulator, kind, client):
    client.create_queue("queue")
    secure = kind(emulator.admin_connection_string(), connection_verify=os.environ["EMULATOR_CERTIFICATE"])
    assert [queue.name for queue in secure.list_queues()] == ["queue"]
    secure.close()


@pytest.mark.parametrize("version", ["2017-04", "2021-05", "2024-05"])
def test_adm17_versions(emulator, kind, client, version):
    old = kind(emulator.admin_connection_string(), f"http://localhost:{emulator.admin}", api_version=version)
    old.create_topic("topic")
    old.create_subscription("topic", "sub")
    assert (old.get_topic("topic").max_message_size_in_kilobytes is None) == (version == "2017-04")
    runtime = old.get_topic_runtime_properties("topic")
    assert runtime.sql_filter_count == (1 if version == "2024-05" else None)
    assert old.get_subscription("topic", "sub").name == "sub"
    old.close()


def test_health(emulator):
    connection = http.client.HTTPConnection("localhost", emulator.admin, timeout=10)
    connection.request("GET", "/health")
    response = connection.getresponse()
    assert response.status == 200
    assert json.loads(response.read())["status"] == "healthy"


def token(emulator):
    """A shared access signature for the namespace."""
    audience = quote(f"https://localhost:{emulator.admin}", safe="")
    expiry = int(time.time()) + 60
    digest = hmac.new(b"SAS_KEY_VALUE", f"{audience}\n{expiry}".encode(), hashlib.sha256).digest()
    signature = quote(base64.b64encode(digest), safe="")
    return f"SharedAccessSignature sr={audience}&sig={signature}&se={expiry}&skn=RootManageSharedAccessKey"


def test_everything_goes_at_once(emulator, client, messaging):
    client.create_queue("queue")
    with messaging.get_queue_sender("queue") as sender:
        sender.send_messages(ServiceBusMessage("one"))

    def delete(path):
        connection = http.client.HTTPConnection("localhost", emulator.admin, timeout=10)
        connection.request("DELETE", path, headers={"Authorization": token(emulator)})
        return connection.getresponse().status

    assert delete("/$emulator/messages") == 200
    assert client.get_queue_runtime_properties("queue").total_message_count == 0
    assert delete("/$emulator/entities") == 200
    assert client.list_queues() == []


@pytest.mark.parametrize(
    "text, status",
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"405"),
        (b"PUT /q HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300000, b"413"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"401"),
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET /q HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 200000 + b"\r\n\r\n", b"431"),
    ],
)
def test_other_requests_are_refused(emulator, text, status):
    with socket.create_connection(("localhost", emulator.admin), timeout=10) as connection:
        try:
            connection.sendall(text)
        except ConnectionError:
            pass
        try:
            head = connection.recv(4096)
        except ConnectionError:
            head = b""
    assert not head or head.split(b" ")[1] == status
    # It still serves others.
    client = Sync(emulator.admin_connection_string("nobody"), f"http://localhost:{emulator.admin}")
    with pytest.raises(HttpResponseError):
        client.list_queues()

"""The example of the emulator's README, word for word: celery on kombu's transport for Service Bus, as on Azure."""

import os
import pathlib
import re
import socket
import subprocess

import certifi
import pytest

README = pathlib.Path(__file__).parents[3] / "emulator" / "README.md"
NAME = "sbemulatorns.servicebus.windows.net"


def example():
    [code] = re.findall(r"### celery\n\n```python\n(.*?)```", README.read_text(), flags=re.S)
    return code


@pytest.fixture
def emulator(tmp_path, monkeypatch):
    """An emulator on the ports of Azure, with its own certificate, at the namespace's name."""
    certificate = tmp_path / "emulator.pem"
    process = subprocess.Popen(
        [
            os.environ["SERVICEBUS_EMULATOR"],
            *("-q", "--amqp-port", "0", "--admin-port", "0", "--tls-port", "5671", "--tls-port", "443"),
            *("--write-certificate", str(certificate)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if not process.stdout.readline():
            pytest.skip("ports 5671 and 443 cannot be listened on")
        # What the README asks for: the name leads to the emulator, and Python trusts the certificate.
        resolve = socket.getaddrinfo

        def resolve_name(host, *arguments, **named):
            return resolve("127.0.0.1" if host == NAME else host, *arguments, **named)

        monkeypatch.setattr(socket, "getaddrinfo", resolve_name)
        bundle = tmp_path / "bundle.pem"
        bundle.write_text(pathlib.Path(certifi.where()).read_text() + certificate.read_text())
        monkeypatch.setattr(certifi, "where", lambda: str(bundle))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        yield
    finally:
        process.terminate()
        process.wait()


def test_tasks_are_sent_and_done(emulator):
    names = {}
    exec(compile(example(), str(README), "exec"), names)
    app, add = names["app"], names["add"]
    app.conf.result_backend = "cache+memory://"
    from celery.contrib.testing.worker import start_worker

    with start_worker(app, perform_ping_check=False, pool="solo", shutdown_timeout=30):
        results = [add.delay(number, 3) for number in range(20)]
        assert [result.get(timeout=30) for result in results] == [number + 3 for number in range(20)]
    # Done tasks are completed: nothing waits any more.
    with app.connection_for_read() as connection:
        [queue] = connection.default_channel.queue_mgmt_service.list_queues_runtime_properties()
        assert (queue.name, queue.total_message_count) == ("celery", 0)

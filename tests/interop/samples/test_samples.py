"""Every sample that the SDK ships with, unchanged, on an emulator of its own."""

import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))
from azure.servicebus import ServiceBusClient, ServiceBusMessage  # noqa: E402
from emulator import Emulator  # noqa: E402

SAMPLES = pathlib.Path(os.environ["SAMPLES"])
RUNNER = pathlib.Path(__file__).parent / "run_sample.py"

# What needs Azure itself, or another thing that is not here, and why.
LEFT_OUT = {
    "proxy": "needs an HTTP proxy, through which it reaches Azure over WebSockets",
    "connection_to_custom_endpoint_address": "needs an application gateway in front of Azure, reached over WebSockets",
}

NAMESPACE = {
    "UserConfig": {
        "Namespaces": [{
            "Name": "samples",
            "Queues": [
                {"Name": "queue"},
                {"Name": "sessions", "Properties": {"RequiresSession": True}},
            ],
            "Topics": [{
                "Name": "topic",
                "Subscriptions": [{"Name": "subscription"}],
            }],
        }],
    },
}


def stem(path):
    return path.stem.removesuffix("_async")


ALL = sorted(path for path in SAMPLES.glob("*/*.py"))
RUN = [path for path in ALL if stem(path) not in LEFT_OUT]


def test_what_is_left_out_exists():
    assert len(ALL) == 58 and len(RUN) == 54
    assert set(LEFT_OUT) <= {stem(path) for path in ALL}


def fill(emulator):
    """Something to receive, for the samples that only receive."""
    with ServiceBusClient.from_connection_string(emulator.connection_string) as client:
        with client.get_queue_sender("queue") as sender:
            sender.send_messages([ServiceBusMessage(f"message {number}") for number in range(5)])
        with client.get_topic_sender("topic") as sender:
            sender.send_messages([ServiceBusMessage("of a topic", session_id="s")])


@pytest.mark.parametrize("path", RUN, ids=lambda path: path.stem)
def test_sample(path):
    emulator = Emulator(NAMESPACE)
    try:
        # Samples of administration make their entities themselves.
        if not stem(path).startswith(("mgmt", "topic_subscription")):
            fill(emulator)
        environment = dict(
            os.environ,
            SERVICEBUS_CONNECTION_STR=emulator.connection_string,
            SERVICEBUS_FULLY_QUALIFIED_NAMESPACE=emulator.host,
            SERVICEBUS_QUEUE_NAME="queue",
            SERVICEBUS_SESSION_QUEUE_NAME="sessions",
            SERVICEBUS_SESSION_ID="session",
            SERVICEBUS_TOPIC_NAME="topic",
            SERVICEBUS_SUBSCRIPTION_NAME="subscription",
            SERVICEBUS_SAS_POLICY="RootManageSharedAccessKey",
            SERVICEBUS_SAS_KEY="SAS_KEY_VALUE",
        )
        done = subprocess.run(
            [sys.executable, str(RUNNER), str(path), str(emulator.admin_port)],
            env=environment, cwd=path.parent, capture_output=True, text=True, timeout=100,
        )
        print(done.stdout, done.stderr)
        assert done.returncode == 0, "the sample ends with an error"
        # Some samples print what went wrong and go on.
        assert "Traceback" not in done.stdout + done.stderr and " failed: " not in done.stdout
    finally:
        emulator.stop()

"""The example of the emulator's README, word for word, with the strings that the emulator prints."""

import os
import pathlib
import re

import pytest
from clients import Sync
from emulator import Emulator

README = pathlib.Path(__file__).parents[3] / "emulator" / "README.md"


def example():
    [code] = re.findall(r"### Python\n\n```python\n(.*?)```", README.read_text(), flags=re.S)
    return code


def is_run_with(connection_string):
    certificate = os.environ["EMULATOR_CERTIFICATE"]
    names = {"connection_string": connection_string, "certificate": certificate}
    exec(compile(example(), str(README), "exec"), names)
    client = Sync(connection_string, connection_verify=certificate)
    assert client.get_queue_runtime_properties("python").total_message_count == 0
    client.delete_queue("python")
    client.close()


def test_one_connection_string_is_for_messages_and_administration(emulator):
    is_run_with(emulator.connection_string)


def test_as_on_azure(emulator):
    """Over TLS the SDK connects to 5671, whatever port it is given, and administers on 443."""
    try:
        azure = Emulator("--tls-port", "5671", "--tls-port", "443")
    except RuntimeError as error:
        # It has printed nothing: it could not listen.
        assert str(error).endswith("''")
        pytest.skip("ports 5671 and 443 cannot be listened on")
    try:
        is_run_with("Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE")
    finally:
        azure.stop()

"""The example of the emulator's README, word for word, with the strings that the emulator prints."""

import os
import pathlib
import re

import pytest
from clients import Sync

README = pathlib.Path(__file__).parents[3] / "emulator" / "README.md"


def example():
    [code] = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.S)
    return code


@pytest.mark.parametrize("transport", ["plain", "TLS on the same port", "TLS alone"])
def test_one_connection_string_is_for_messages_and_administration(emulator, transport):
    connection_string = {
        "plain": emulator.connection_string,
        "TLS on the same port": emulator.to(emulator.port),
        "TLS alone": emulator.to(emulator.tls),
    }[transport]
    certificate = os.environ["EMULATOR_CERTIFICATE"]
    names = {"connection_string": connection_string, "certificate": certificate}
    exec(compile(example(), str(README), "exec"), names)
    client = Sync(connection_string, connection_verify=certificate)
    assert client.get_queue_runtime_properties("python").total_message_count == 0
    client.delete_queue("python")
    client.close()

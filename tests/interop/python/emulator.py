"""An emulator in a process of its own, with entities for each test."""

import copy
import json
import os
import pathlib
import re
import subprocess
import tempfile

COPIES = 40
NAMESPACE = pathlib.Path(__file__).parent.parent / "namespace.json"


def namespace(copies):
    """The namespace of the suites with numbered copies of every queue and topic."""
    text = re.sub(r"^\s*//.*$", "", NAMESPACE.read_text(), flags=re.M)
    configuration = json.loads(text)
    entities = configuration["UserConfig"]["Namespaces"][0]
    for kind in ("Queues", "Topics"):
        numbered = []
        for entity in entities[kind]:
            for number in range(copies):
                one = copy.deepcopy(entity)
                one["Name"] = f"{entity['Name']}-{number}"
                numbered.append(one)
        entities[kind] = numbered
    return configuration


class Emulator:
    """A running emulator. `host` is where it listens, `connection_string` has every right."""

    def __init__(self, configuration=None):
        self.handed_out = {}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(configuration or namespace(COPIES), file)
            file.flush()
            self.process = subprocess.Popen(
                [os.environ["SERVICEBUS_EMULATOR"], "-q", "--amqp-port", "0", "--admin-port", "0", "--config", file.name],
                stdout=subprocess.PIPE,
                text=True,
            )
            ready = self.process.stdout.readline()
            match = re.match(r"ready amqp=\S+:(\d+) .*admin=\S+:(\d+)", ready)
            if not match:
                self.stop()
                raise RuntimeError(f"the emulator did not start: {ready!r}")
        self.port, self.admin_port = int(match[1]), int(match[2])
        self.host = f"localhost:{self.port}"
        self.connection_string = self.process.stdout.readline().strip()

    def with_key(self, name, key):
        """A connection string with another key."""
        return (
            f"Endpoint=sb://{self.host};SharedAccessKeyName={name};SharedAccessKey={key};UseDevelopmentEmulator=true;"
        )

    def with_token(self, token):
        """A connection string with a token that somebody else signed."""
        return f"Endpoint=sb://{self.host};SharedAccessSignature={token};UseDevelopmentEmulator=true;"

    def fresh(self, name):
        """An entity of this kind that no test has used yet."""
        number = self.handed_out.get(name, 0)
        assert number < COPIES, f"raise COPIES: there are no more of {name}"
        self.handed_out[name] = number + 1
        return f"{name}-{number}"

    def stop(self):
        self.process.terminate()
        self.process.wait()

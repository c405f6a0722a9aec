"""An emulator in a process of its own, without entities, with TLS."""

import os
import re
import subprocess


class Emulator:
    """A running emulator: `admin` is the management port, `connection_string` is for AMQP and has every right."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [
                os.environ["SERVICEBUS_EMULATOR"],
                *("-q", "--amqp-port", "0", "--tls-port", "0", "--admin-port", "0"),
                *options,
                *("--certificate", os.environ["EMULATOR_CERTIFICATE"], "--key", os.environ["EMULATOR_KEY"]),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        ready = self.process.stdout.readline()
        match = re.match(r"ready amqp=\S+:(\d+) tls=\S+:(\d+) .*\badmin=\S+:(\d+)", ready)
        if not match:
            self.stop()
            raise RuntimeError(f"the emulator did not start: {ready!r}")
        self.port, self.tls, self.admin = int(match[1]), int(match[2]), int(match[3])
        self.connection_string = self.process.stdout.readline().strip()

    def admin_connection_string(self, name="RootManageSharedAccessKey", key="SAS_KEY_VALUE"):
        """A connection string for administration clients."""
        return self.to(self.admin, name, key)

    def to(self, port, name="RootManageSharedAccessKey", key="SAS_KEY_VALUE"):
        """A connection string with this port, as one of the service has it."""
        return f"Endpoint=sb://localhost:{port};SharedAccessKeyName={name};SharedAccessKey={key};"

    def stop(self):
        self.process.terminate()
        self.process.wait()

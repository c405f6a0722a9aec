"""An emulator in a process of its own, without entities, with TLS."""

import os
import re
import subprocess


class Emulator:
    """A running emulator: `admin` is the management port, `connection_string` is for AMQP and has every right."""

    def __init__(self):
        self.process = subprocess.Popen(
            [
                os.environ["SERVICEBUS_EMULATOR"],
                *("--amqp-port", "0", "--tls-port", "0", "--admin-port", "0"),
                *("--certificate", os.environ["EMULATOR_CERTIFICATE"], "--key", os.environ["EMULATOR_KEY"]),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        ready = self.process.stdout.readline()
        match = re.match(r"ready .*\badmin=\S+:(\d+)", ready)
        if not match:
            self.stop()
            raise RuntimeError(f"the emulator did not start: {ready!r}")
        self.admin = int(match[1])
        self.connection_string = self.process.stdout.readline().strip()

    def admin_connection_string(self, name="RootManageSharedAccessKey", key="SAS_KEY_VALUE"):
        """A connection string for administration clients."""
        return f"Endpoint=sb://localhost:{self.admin};SharedAccessKeyName={name};SharedAccessKey={key};"

    def stop(self):
        self.process.terminate()
        self.process.wait()

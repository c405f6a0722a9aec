// The example of the emulator's README, word for word, with the strings that the emulator prints.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, test } from "node:test";

// NODE_PATH counts for `require` only.
const require = createRequire(import.meta.url);
const { ServiceBusAdministrationClient } = require("@azure/service-bus");

const { SERVICEBUS_EMULATOR, EMULATOR_CERTIFICATE, EMULATOR_KEY } = process.env;
const emulator = spawn(
  SERVICEBUS_EMULATOR,
  ["-q", "--amqp-port", "0", "--tls-port", "0", "--admin-port", "0", "--certificate", EMULATOR_CERTIFICATE, "--key", EMULATOR_KEY],
  { stdio: ["ignore", "pipe", "inherit"] },
);
after(() => emulator.kill());

let text = "";
for await (const chunk of emulator.stdout.iterator({ destroyOnReturn: false })) {
  text += chunk;
  if (text.split("\n").length > 2) break;
}
const [ready, plain] = text.split("\n");
const port = (name) => ready.match(new RegExp(`\\b${name}=\\S+:(\\d+)`))[1];
const overTls = (name) =>
  `Endpoint=sb://localhost:${port(name)};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE`;

const readme = readFileSync(new URL("../../../emulator/README.md", import.meta.url), "utf8");
const [, example] = readme.match(/```javascript\n(.*?)```/s);
const AsyncFunction = (async () => {}).constructor;

for (const [transport, connectionString] of [
  ["plain", plain],
  ["TLS on the same port", overTls("amqp")],
  ["TLS alone", overTls("tls")],
]) {
  test(`one connection string is for messages and administration: ${transport}`, async () => {
    await new AsyncFunction("require", "connectionString", example)(require, connectionString);
    const client = new ServiceBusAdministrationClient(connectionString);
    assert.equal((await client.getQueueRuntimeProperties("javascript")).totalMessageCount, 0);
    await client.deleteQueue("javascript");
  });
}

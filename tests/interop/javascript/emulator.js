"use strict";
// An emulator in a process of its own, with entities for each test, and what it counts.

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const readline = require("node:readline");
const rhea = require("rhea");

const COPIES = 40;

/** The namespace of the suites with numbered copies of every queue and topic. */
function namespace() {
  const text = fs.readFileSync(path.join(__dirname, "..", "namespace.json"), "utf8");
  const configuration = JSON.parse(text.replace(/^\s*\/\/.*$/gm, ""));
  const entities = configuration.UserConfig.Namespaces[0];
  for (const kind of ["Queues", "Topics"]) {
    entities[kind] = entities[kind].flatMap((entity) =>
      Array.from({ length: COPIES }, (_, number) => ({ ...entity, Name: `${entity.Name}-${number}` })),
    );
  }
  return configuration;
}

class Emulator {
  handedOut = {};

  /** Starts one; `host` is where it listens, `connectionString` has every right. */
  static async start() {
    const emulator = new Emulator();
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "interop-"));
    const file = path.join(folder, "namespace.json");
    fs.writeFileSync(file, JSON.stringify(namespace()));
    emulator.process = spawn(process.env.SERVICEBUS_EMULATOR, ["-q", "--amqp-port", "0", "--admin-port", "0", "--config", file], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = readline.createInterface({ input: emulator.process.stdout })[Symbol.asyncIterator]();
    const ready = (await lines.next()).value ?? "";
    emulator.connectionString = (await lines.next()).value;
    fs.rmSync(folder, { recursive: true });
    const match = /^ready amqp=\S+:(\d+)/.exec(ready);
    if (!match) throw new Error(`the emulator did not start: ${ready}`);
    emulator.port = Number(match[1]);
    emulator.host = `localhost:${emulator.port}`;
    emulator.counters = await Counters.open(emulator.port);
    return emulator;
  }

  /** A connection string with another key. */
  withKey(name, key) {
    return `Endpoint=sb://${this.host};SharedAccessKeyName=${name};SharedAccessKey=${key};UseDevelopmentEmulator=true;`;
  }

  /** A connection string with a token that somebody else signed. */
  withToken(token) {
    return `Endpoint=sb://${this.host};SharedAccessSignature=${token};UseDevelopmentEmulator=true;`;
  }

  /** An entity of this kind that no test has used yet. */
  fresh(name) {
    const number = this.handedOut[name] ?? 0;
    if (number >= COPIES) throw new Error(`raise COPIES: there are no more of ${name}`);
    this.handedOut[name] = number + 1;
    return `${name}-${number}`;
  }

  async stop() {
    await this.counters.close();
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill();
    await ended;
  }
}

/**
 * What the emulator has counted since the last call of `since`. It tells a healthy conversation from one that
 * reconnects, or settles a second time through `$management`, for every message (docs/evidence/wire-protocol.md §0, fact 8).
 */
class Counters {
  static async open(port) {
    const counters = new Counters();
    const container = rhea.create_container();
    counters.connection = container.connect({
      host: "localhost", port, username: "RootManageSharedAccessKey", password: "SAS_KEY_VALUE", reconnect: false,
    });
    counters.receiver = counters.connection.open_receiver({ source: "$management", target: "counters" });
    counters.sender = counters.connection.open_sender({ target: "$management" });
    await new Promise((resolve, reject) => {
      counters.sender.once("sendable", resolve);
      for (const event of ["connection_error", "sender_error", "disconnected"]) {
        counters.connection.once(event, (context) => reject(context.error ?? context.sender?.error ?? event));
      }
    });
    counters.before = await counters.read();
    return counters;
  }

  async read() {
    const answer = new Promise((resolve) => this.receiver.once("message", (context) => resolve(context.message.body)));
    this.sender.send({
      message_id: "1", reply_to: "counters",
      application_properties: { operation: "com.servicebus-emulator:statistics" },
      body: {},
    });
    return answer;
  }

  async since() {
    const now = await this.read();
    const difference = Object.fromEntries(Object.keys(now).map((key) => [key, now[key] - this.before[key]]));
    difference["management-requests"] -= 1;
    this.before = now;
    return difference;
  }

  async close() {
    const closed = new Promise((resolve) => this.connection.once("connection_close", resolve));
    this.connection.close();
    await closed;
  }
}

/** So many messages, in as many calls as it takes. */
async function receiveAll(receiver, count) {
  const messages = [];
  while (messages.length < count) {
    const more = await receiver.receiveMessages(count - messages.length, { maxWaitTimeInMs: 5000 });
    if (more.length === 0) throw new Error(`${messages.length} of ${count} messages came`);
    messages.push(...more);
  }
  return messages;
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

module.exports = { Emulator, receiveAll, sleep };

"use strict";
// Messages of our client received by the SDK, and the other way round: every field, annotation and type.

const assert = require("node:assert/strict");
const { execFile } = require("node:child_process");
const { after, before, test } = require("node:test");
const { ServiceBusClient } = require("@azure/service-bus");
const { Emulator, receiveAll } = require("./emulator.js");

const KEY = "00112233445566778899aabbccddeeff";
const WHEN = 1_580_702_706_789;
let emulator, client;
before(async () => {
  emulator = await Emulator.start();
  client = new ServiceBusClient(emulator.connectionString);
});
after(async () => {
  await client.close();
  await emulator.stop();
});

/** The bits of a double, as descriptions have them. */
function bits(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return `0x${bytes.readBigUInt64BE().toString(16)}`;
}

/** Runs our client: what it describes. */
function peer(words, messages = []) {
  return new Promise((resolve, reject) => {
    const child = execFile(
      process.env.SDK_PEER, [emulator.connectionString, ...words], { timeout: 30_000 },
      (error, out) => (error ? reject(error) : resolve(out.split("\n").filter(Boolean).map((line) => JSON.parse(line)))),
    );
    child.stdin.end(messages.map((message) => `${JSON.stringify(message)}\n`).join(""));
  });
}

// Every type that application properties may have, as our client sends it and as the SDK reads it.
const PROPERTIES = [
  ["null", null, null],
  ["boolean", true, true],
  ["ubyte", 200, 200],
  ["byte", -100, -100],
  ["ushort", 60_000, 60_000],
  ["short", -30_000, -30_000],
  ["uint", 4_000_000_000, 4_000_000_000],
  ["int", -2_000_000_000, -2_000_000_000],
  // The SDK has numbers of 64 bits as a number while they are exact.
  ["ulong", "9007199254740991", 9007199254740991],
  ["long", "-9007199254740991", -9007199254740991],
  ["float", "0x41ac0000", 21.5],
  ["double", bits(1 / 3), 1 / 3],
  ["timestamp", WHEN, WHEN],
  ["uuid", KEY, Buffer.from(KEY, "hex")],
  ["binary", "00ff", Buffer.from([0, 255])],
  ["string", "täxt", "täxt"],
  ["symbol", "symbol", "symbol"],
];

/** Bytes as a Buffer; the SDK copies some of them into an object with a key for each. */
function plain(value) {
  if (value instanceof Uint8Array) return Buffer.from(value);
  return value !== null && typeof value === "object" && "0" in value ? Buffer.from(Object.values(value)) : value;
}

test("what our client sends the SDK receives", async () => {
  const queue = emulator.fresh("queue");
  const fields = {
    message_id: "id", session_id: "session", partition_key: "session", correlation_id: "correlation",
    subject: "subject", to: "to", reply_to: "reply", reply_to_session_id: "reply-session", content_type: "text/plain",
  };
  const described = {
    ...fields,
    application_properties: PROPERTIES.map(([kind, sent]) => [kind, [kind, sent]]),
    annotations: [["x-opt-own", ["int", 5]]],
    delivery_annotations: [["own", ["string", "delivery"]]],
    footer: [["foot", ["symbol", "note"]]],
    time_to_live: 60_000, user_id: "01ff", group_sequence: 3, creation_time: WHEN, content_encoding: "utf-8",
    priority: 7, durable: true, first_acquirer: true,
  };
  await peer(["send", queue], [
    { ...described, body: ["data", ["00ff"]] },
    { ...described, body: ["sequence", [[["int", 1], ["string", "two"], ["list", [["boolean", true]]]]]] },
    { ...described, body: ["value", ["map", [[["string", "a"], ["int", 7]], [["string", "b"], ["null", null]]]]] },
  ]);
  const receiver = client.createReceiver(queue, { receiveMode: "receiveAndDelete" });
  const messages = await receiveAll(receiver, 3);
  for (const message of messages) {
    for (const [name, value] of Object.entries(fields)) {
      const camel = name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
      assert.equal(message[camel], value, name);
    }
    assert.deepEqual(Object.keys(message.applicationProperties), PROPERTIES.map(([kind]) => kind));
    for (const [kind, , value] of PROPERTIES) assert.deepEqual(plain(message.applicationProperties[kind]), value, kind);
    const raw = message._rawAmqpMessage;
    assert.equal(raw.messageAnnotations["x-opt-own"], 5);
    assert.equal(raw.deliveryAnnotations.own, "delivery");
    assert.deepEqual(raw.footer, { foot: "note" });
    assert.deepEqual(
      [raw.header.timeToLive, raw.header.priority, raw.header.durable, raw.header.firstAcquirer],
      [60_000, 7, true, true],
    );
    assert.deepEqual([raw.properties.groupSequence, raw.properties.contentEncoding], [3, "utf-8"]);
    assert.equal(new Date(raw.properties.creationTime).getTime(), WHEN);
  }
  const [data, sequence, value] = messages;
  assert.deepEqual(plain(data.body), Buffer.from([0, 255]));
  assert.deepEqual(sequence._rawAmqpMessage.body.content, [1, "two", [true]]);
  assert.deepEqual(value.body, { a: 7, b: null });
});

test("what the SDK sends our client receives", async () => {
  const queue = emulator.fresh("queue");
  const sender = client.createSender(queue);
  await sender.sendMessages({
    body: { json: true },
    messageId: "id", sessionId: "session", partitionKey: "session", replyToSessionId: "reply-session",
    correlationId: "correlation", subject: "subject", to: "to", replyTo: "reply", contentType: "application/json",
    timeToLive: 60_000,
    applicationProperties: {
      nothing: null, boolean: false, negative: -7, double: 1 / 3, string: "täxt", time: new Date(WHEN),
    },
  });
  await sender.sendMessages({
    bodyType: "value", body: { a: [1.5, null, true] },
    header: { durable: true, priority: 7, firstAcquirer: true },
    properties: { messageId: "id", groupSequence: 3, contentEncoding: "utf-8" },
    messageAnnotations: { "x-opt-own": "annotation" }, deliveryAnnotations: { own: "delivery" }, footer: { foot: "note" },
  });
  await sender.sendMessages({ bodyType: "sequence", body: ["one", "two"] });
  await sender.sendMessages([{ body: "in", messageId: "b" }, { body: "a batch", messageId: "c" }]);
  const [simple, annotated, sequence, ...batch] = await peer(["receive", queue, "5"]);
  const expected = {
    message_id: "id", session_id: "session", content_type: "application/json", correlation_id: "correlation",
    subject: "subject", to: "to", reply_to: "reply", reply_to_session_id: "reply-session", time_to_live: 60_000,
    body: ["data", [Buffer.from('{"json":true}').toString("hex")]],
  };
  for (const [name, value] of Object.entries(expected)) assert.deepEqual(simple[name], value, name);
  const properties = Object.fromEntries(simple.application_properties);
  assert.deepEqual(properties, {
    nothing: ["null", null], boolean: ["boolean", false], negative: properties.negative,
    double: ["double", bits(1 / 3)], string: ["string", "täxt"], time: ["timestamp", WHEN],
  });
  // The SDK chooses the width.
  assert.match(properties.negative[0], /^(int|long|byte)$/);
  assert.equal(Number(properties.negative[1]), -7);
  assert.deepEqual(Object.fromEntries(simple.annotations)["x-opt-partition-key"], ["string", "session"]);

  const list = ["list", [["double", bits(1.5)], ["null", null], ["boolean", true]]];
  assert.deepEqual(annotated.body, ["value", ["map", [[["string", "a"], list]]]]);
  for (const [name, value] of Object.entries({
    durable: true, priority: 7, first_acquirer: true, group_sequence: 3, content_encoding: "utf-8",
    footer: [["foot", ["string", "note"]]],
  })) assert.deepEqual(annotated[name], value, name);
  assert.deepEqual(Object.fromEntries(annotated.annotations)["x-opt-own"], ["string", "annotation"]);
  assert.deepEqual(Object.fromEntries(annotated.delivery_annotations).own, ["string", "delivery"]);
  assert.deepEqual(sequence.body, ["sequence", [[["string", "one"], ["string", "two"]]]]);
  assert.deepEqual(batch.map((message) => [message.message_id, message.body[1][0]]), [
    ["b", Buffer.from('"in"').toString("hex")],
    ["c", Buffer.from('"a batch"').toString("hex")],
  ]);
});

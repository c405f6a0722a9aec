"use strict";
// Sending: one, lists, batches, every property, sizes, schedules.

const assert = require("node:assert/strict");
const { after, before, test } = require("node:test");
const { ServiceBusClient } = require("@azure/service-bus");
const { Emulator, receiveAll } = require("./emulator.js");

let emulator, client;
before(async () => {
  emulator = await Emulator.start();
  client = new ServiceBusClient(emulator.connectionString);
});
after(async () => {
  await client.close();
  await emulator.stop();
});

async function received(queue, count) {
  const receiver = client.createReceiver(queue, { receiveMode: "receiveAndDelete" });
  const messages = await receiveAll(receiver, count);
  await receiver.close();
  return messages;
}

test("one, a list and a batch come back in order over one connection", async () => {
  const queue = emulator.fresh("queue");
  await emulator.counters.since();
  const own = new ServiceBusClient(emulator.connectionString);
  const sender = own.createSender(queue);
  await sender.sendMessages({ body: "one" });
  await sender.sendMessages([{ body: "two" }, { body: "three" }]);
  const batch = await sender.createMessageBatch();
  for (const body of ["four", "five", "six"]) assert.ok(batch.tryAddMessage({ body }));
  assert.equal(batch.count, 3);
  await sender.sendMessages(batch);
  const receiver = own.createReceiver(queue, { receiveMode: "receiveAndDelete" });
  const messages = await receiveAll(receiver, 6);
  await own.close();
  assert.deepEqual(messages.map((message) => message.body), ["one", "two", "three", "four", "five", "six"]);
  const counted = await emulator.counters.since();
  assert.equal(counted["connections-accepted"], 1);
  assert.equal(counted["messages-sent"], 6);
  assert.equal(counted["messages-delivered"], 6);
  assert.equal(counted["settled-by-management"], 0);
  assert.equal(counted["tokens-refused"], 0);
});

test("every property comes back", async () => {
  const queue = emulator.fresh("queue");
  const sender = client.createSender(queue);
  const when = new Date("2020-02-03T04:05:06.789Z");
  const sent = {
    body: { nested: [1, "two", null] },
    messageId: "id", sessionId: "session", partitionKey: "session", replyToSessionId: "reply-session",
    correlationId: "correlation", subject: "subject", to: "to", replyTo: "reply", contentType: "application/json",
    timeToLive: 300_000,
    applicationProperties: { text: "täxt", yes: true, int: -42, double: 21.5, time: when, empty: "", nothing: null },
  };
  await sender.sendMessages(sent);
  const [found] = await received(queue, 1);
  // The SDK reads a timestamp as its milliseconds.
  sent.applicationProperties.time = when.getTime();
  for (const [key, value] of Object.entries(sent)) assert.deepEqual(found[key], value, key);
  assert.equal(found.deliveryCount, 0);
  assert.ok(found.sequenceNumber.toNumber() > 0);
  assert.ok(Math.abs(Date.now() - found.enqueuedTimeUtc.getTime()) < 30_000);
  assert.equal(found.expiresAtUtc.getTime() - found.enqueuedTimeUtc.getTime(), 300_000);
  assert.equal(found.state, "active");
});

test("every kind of body comes back with all sections", async () => {
  for (const [bodyType, body] of [
    ["value", { a: [1, 2.5, null], b: Buffer.from("bytes") }],
    ["sequence", [1, "two", true]],
    ["data", Buffer.from([0, 255, 7])],
  ]) {
    const queue = emulator.fresh("queue");
    const sender = client.createSender(queue);
    await sender.sendMessages({
      bodyType, body,
      header: { durable: true, priority: 7, timeToLive: 60_000 },
      properties: { messageId: "id", subject: "subject", groupSequence: 3 },
      applicationProperties: { key: "value" },
      messageAnnotations: { "x-opt-own": 5 },
      deliveryAnnotations: { own: "delivery" },
      footer: { foot: "note" },
    });
    const [{ _rawAmqpMessage: raw }] = await received(queue, 1);
    assert.equal(raw.bodyType, bodyType);
    // The SDK hands out the section itself where it is not one value.
    assert.deepEqual(bodyType === "value" ? raw.body : raw.body.content, body);
    assert.deepEqual([raw.header.durable, raw.header.priority, raw.header.timeToLive], [true, 7, 60_000]);
    assert.deepEqual([raw.properties.subject, raw.properties.groupSequence], ["subject", 3]);
    assert.equal(raw.messageAnnotations["x-opt-own"], 5);
    assert.equal(raw.deliveryAnnotations.own, "delivery");
    assert.deepEqual(raw.footer, { foot: "note" });
    assert.deepEqual(raw.applicationProperties, { key: "value" });
  }
});

test("a batch is full at the limit of the link and is accepted", async () => {
  const queue = emulator.fresh("queue");
  const sender = client.createSender(queue);
  const batch = await sender.createMessageBatch();
  assert.equal(batch.maxSizeInBytes, 262_144);
  let count = 0;
  while (batch.tryAddMessage({ body: Buffer.alloc(10_000) })) count += 1;
  assert.ok(count === 25 || count === 26);
  await sender.sendMessages(batch);
  assert.equal((await received(queue, count)).length, count);
});

test("large messages cross in many frames", async () => {
  const queue = emulator.fresh("large");
  const body = Buffer.alloc(3 << 20, "0123456789abc");
  await client.createSender(queue).sendMessages({ body });
  const [found] = await received(queue, 1);
  assert.ok(body.equals(found.body));
});

test("a repeated message id is accepted and dropped", async () => {
  const queue = emulator.fresh("unique");
  const sender = client.createSender(queue);
  for (const body of ["first", "again"]) await sender.sendMessages({ body, messageId: "same" });
  await sender.sendMessages({ body: "other", messageId: "other" });
  assert.deepEqual((await received(queue, 2)).map((message) => message.body), ["first", "other"]);
});

test("schedule, cancel, and peek what is scheduled", async () => {
  const queue = emulator.fresh("queue");
  const [sender, receiver] = [client.createSender(queue), client.createReceiver(queue)];
  const [soon, later] = [new Date(Date.now() + 3000), new Date(Date.now() + 36_000_000)];
  await sender.scheduleMessages({ body: "soon" }, soon);
  const numbers = await sender.scheduleMessages([{ body: "a" }, { body: "b" }], later);
  await sender.sendMessages({ body: "plain", scheduledEnqueueTimeUtc: later });
  const peek = () => receiver.peekMessages(10, { fromSequenceNumber: numbers[0] });
  const peeked = await peek();
  assert.deepEqual(peeked.map((message) => message.body), ["a", "b", "plain"]);
  assert.deepEqual(peeked.slice(0, 2).map((message) => message.sequenceNumber.toString()), numbers.map(String));
  assert.ok(peeked.every((message) => message.state === "scheduled"));
  assert.equal(peeked[0].scheduledEnqueueTimeUtc.getTime(), later.getTime());
  await sender.cancelScheduledMessages(numbers);
  assert.deepEqual((await peek()).map((message) => message.body), ["plain"]);
  const [found] = await receiver.receiveMessages(1, { maxWaitTimeInMs: 10_000 });
  assert.equal(found.body, "soon");
  assert.ok(found.enqueuedTimeUtc >= soon);
  await receiver.completeMessage(found);
});

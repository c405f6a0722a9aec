"use strict";
// Receiving: settlement, sub-queues, modes, peek, iterators, subscribe.

const assert = require("node:assert/strict");
const { after, before, test } = require("node:test");
const { ServiceBusClient } = require("@azure/service-bus");
const { Emulator, receiveAll, sleep } = require("./emulator.js");

let emulator, client;
before(async () => {
  emulator = await Emulator.start();
  client = new ServiceBusClient(emulator.connectionString);
});
after(async () => {
  await client.close();
  await emulator.stop();
});

const bodies = (messages) => messages.map((message) => message.body);

async function send(queue, ...bodies) {
  const sender = client.createSender(queue);
  await sender.sendMessages(bodies.map((body) => ({ body })));
  await sender.close();
}

test("complete, abandon, defer and dead-letter settle on the link, with properties", async () => {
  const queue = emulator.fresh("queue");
  await send(queue, "complete", "abandon", "defer", "dead-letter");
  await emulator.counters.since();
  const receiver = client.createReceiver(queue);
  const [complete, abandon, defer, dead] = await receiveAll(receiver, 4);
  await receiver.completeMessage(complete);
  await receiver.deferMessage(defer, { deferred: true });
  await receiver.deadLetterMessage(dead, {
    deadLetterReason: "why", deadLetterErrorDescription: "because", own: "property",
  });
  await receiver.abandonMessage(abandon, { abandoned: 1 });
  const [again] = await receiveAll(receiver, 1);
  assert.deepEqual([again.body, again.deliveryCount, again.applicationProperties], ["abandon", 1, { abandoned: 1 }]);
  assert.notEqual(again.lockToken, abandon.lockToken);
  await receiver.completeMessage(again);
  await assert.rejects(receiver.completeMessage(again), /already settled/);
  let counted = await emulator.counters.since();
  assert.equal(counted["connections-accepted"], 0);
  assert.equal(counted["settled-on-links"], 5);
  assert.equal(counted["settled-by-management"], 0);

  const [deferred] = await receiver.receiveDeferredMessages(defer.sequenceNumber);
  assert.deepEqual([deferred.body, deferred.state], ["defer", "deferred"]);
  assert.deepEqual(deferred.applicationProperties, { deferred: true });
  await receiver.completeMessage(deferred);
  counted = await emulator.counters.since();
  assert.equal(counted["connections-accepted"], 0);
  assert.equal(counted["settled-by-management"], 1);
  await receiver.close();

  const deadLetters = client.createReceiver(queue, { subQueueType: "deadLetter" });
  const [found] = await receiveAll(deadLetters, 1);
  assert.deepEqual(
    [found.body, found.deadLetterReason, found.deadLetterErrorDescription, found.applicationProperties.own],
    ["dead-letter", "why", "because", "property"],
  );
  assert.ok(found.sequenceNumber.equals(dead.sequenceNumber));
  await deadLetters.completeMessage(found);
  assert.deepEqual(await deadLetters.peekMessages(1), []);
  await deadLetters.close();
});

test("500 messages are received and completed over one connection", async () => {
  const [queue, count] = [emulator.fresh("queue"), 500];
  await emulator.counters.since();
  const own = new ServiceBusClient(emulator.connectionString);
  await own.createSender(queue).sendMessages(Array.from({ length: count }, (_, body) => ({ body })));
  const receiver = own.createReceiver(queue);
  const found = [];
  while (found.length < count) {
    const messages = await receiver.receiveMessages(100, { maxWaitTimeInMs: 5000 });
    assert.notEqual(messages.length, 0);
    await Promise.all(messages.map((message) => receiver.completeMessage(message)));
    found.push(...bodies(messages));
  }
  await own.close();
  assert.deepEqual(found, Array.from({ length: count }, (_, body) => body));
  const counted = await emulator.counters.since();
  assert.equal(counted["connections-accepted"], 1);
  assert.equal(counted["settled-on-links"], count);
  assert.equal(counted["settled-by-management"], 0);
  assert.equal(counted["messages-delivered"], count);
});

test("receive-and-delete takes what it receives", async () => {
  const queue = emulator.fresh("queue");
  await send(queue, "a", "b", "c");
  const receiver = client.createReceiver(queue, { receiveMode: "receiveAndDelete" });
  const messages = await receiveAll(receiver, 3);
  assert.deepEqual(bodies(messages), ["a", "b", "c"]);
  await assert.rejects(receiver.completeMessage(messages[0]));
  assert.deepEqual(await receiver.peekMessages(1), []);
  await receiver.close();
});

test("peek leaves messages alone and goes on", async () => {
  const queue = emulator.fresh("queue");
  await send(queue, "a", "b", "c", "d", "e");
  const receiver = client.createReceiver(queue);
  const first = await receiver.peekMessages(2);
  assert.deepEqual(bodies(first), ["a", "b"]);
  assert.deepEqual(bodies(await receiver.peekMessages(10)), ["c", "d", "e"]);
  const again = await receiver.peekMessages(10, { fromSequenceNumber: first[1].sequenceNumber });
  assert.deepEqual(bodies(again), ["b", "c", "d", "e"]);
  for (const message of await receiveAll(receiver, 5)) {
    assert.equal(message.deliveryCount, 0);
    await receiver.completeMessage(message);
  }
  await receiver.close();
});

test("an iterator and a subscription take messages as they come", async () => {
  const queue = emulator.fresh("queue");
  await send(queue, "a", "b", "c");
  const receiver = client.createReceiver(queue);
  const found = [];
  for await (const message of receiver.getMessageIterator()) {
    found.push(message.body);
    await receiver.completeMessage(message);
    if (found.length === 3) break;
  }
  await receiver.close();
  assert.deepEqual(found, ["a", "b", "c"]);

  const subscriber = client.createReceiver(queue);
  const pushed = [];
  let three;
  const done = new Promise((resolve) => (three = resolve));
  const subscription = subscriber.subscribe(
    {
      processMessage: async (message) => {
        pushed.push(message.body);
        if (pushed.length === 3) three();
      },
      processError: async ({ error }) => assert.fail(error),
    },
    { maxConcurrentCalls: 2 },
  );
  await send(queue, "d", "e", "f");
  await done;
  // It completes by itself what was processed.
  await sleep(200);
  await subscription.close();
  await subscriber.close();
  assert.deepEqual(pushed.sort(), ["d", "e", "f"]);
  const check = client.createReceiver(queue);
  assert.deepEqual(await check.peekMessages(10), []);
  await check.close();
});

test("an empty queue gives nothing in time, and a late message comes at once", async () => {
  const queue = emulator.fresh("queue");
  const receiver = client.createReceiver(queue);
  let began = Date.now();
  assert.deepEqual(await receiver.receiveMessages(2, { maxWaitTimeInMs: 500 }), []);
  assert.ok(Date.now() - began < 15_000);
  const waiting = receiver.receiveMessages(1, { maxWaitTimeInMs: 20_000 });
  began = Date.now();
  await send(queue, "late");
  const [message] = await waiting;
  assert.ok(Date.now() - began < 15_000);
  await receiver.completeMessage(message);
  await receiver.close();
});

test("too many deliveries and expiry lead to the dead-letter queue", async () => {
  const [queue, expiring] = [emulator.fresh("queue"), emulator.fresh("expiring")];
  await client.createSender(expiring).sendMessages({ body: "old", timeToLive: 1000 });
  await send(queue, "poison");
  const receiver = client.createReceiver(queue);
  for (const count of [0, 1, 2]) {
    const [message] = await receiveAll(receiver, 1);
    assert.equal(message.deliveryCount, count);
    await receiver.abandonMessage(message);
  }
  await receiver.close();
  for (const [entity, body, reason] of [
    [queue, "poison", "MaxDeliveryCountExceeded"],
    [expiring, "old", "TTLExpiredException"],
  ]) {
    const deadLetters = client.createReceiver(entity, { subQueueType: "deadLetter" });
    const [message] = await receiveAll(deadLetters, 1);
    assert.deepEqual([message.body, message.deadLetterReason], [body, reason]);
    await deadLetters.completeMessage(message);
    await deadLetters.close();
  }
});

test("deferred messages are received in every mode and settled in every way", async () => {
  const queue = emulator.fresh("queue");
  await send(queue, "a", "b", "c", "d");
  const receiver = client.createReceiver(queue);
  const messages = await receiveAll(receiver, 4);
  const numbers = messages.map((message) => message.sequenceNumber);
  for (const message of messages) await receiver.deferMessage(message);
  let [a, b, c] = await receiver.receiveDeferredMessages(numbers.slice(0, 3));
  assert.deepEqual([a, b, c].map((message) => message.deliveryCount), [1, 1, 1]);
  await receiver.deadLetterMessage(a, { deadLetterReason: "late" });
  await receiver.abandonMessage(b, { more: "properties" });
  await receiver.deferMessage(c);
  [b, c] = await receiver.receiveDeferredMessages(numbers.slice(1, 3));
  assert.deepEqual(b.applicationProperties, { more: "properties" });
  await receiver.completeMessage(b);
  await receiver.completeMessage(c);
  await receiver.close();
  const deleting = client.createReceiver(queue, { receiveMode: "receiveAndDelete" });
  const [d] = await deleting.receiveDeferredMessages(numbers[3]);
  assert.equal(d.body, "d");
  assert.deepEqual(await deleting.peekMessages(10), []);
  await deleting.close();
});

test("locks are renewed by hand, and by themselves while a message is processed", async () => {
  const [queue, short] = [emulator.fresh("queue"), emulator.fresh("short")];
  await send(queue, "x");
  await send(short, "x");
  const receiver = client.createReceiver(queue);
  const [message] = await receiveAll(receiver, 1);
  const before = message.lockedUntilUtc;
  await sleep(20);
  const renewed = await receiver.renewMessageLock(message);
  assert.ok(renewed > before && message.lockedUntilUtc > before);
  await receiver.completeMessage(message);
  await receiver.close();

  await emulator.counters.since();
  const renewing = client.createReceiver(short, { maxAutoLockRenewalDurationInMs: 60_000 });
  const [long] = await receiveAll(renewing, 1);
  await sleep(6500);
  await renewing.completeMessage(long);
  await renewing.close();
  const counted = await emulator.counters.since();
  assert.ok(counted["locks-renewed"] >= 1);
  assert.equal(counted["settled-on-links"], 1);
});

test("a lock that ended is lost, on the link and through $management", async () => {
  const short = emulator.fresh("short");
  await send(short, "x");
  const receiver = client.createReceiver(short, { maxAutoLockRenewalDurationInMs: 0 });
  const [message] = await receiveAll(receiver, 1);
  const [again] = await receiver.receiveMessages(1, { maxWaitTimeInMs: 10_000 });
  assert.deepEqual([again.sequenceNumber, again.deliveryCount], [message.sequenceNumber, 1]);
  await assert.rejects(receiver.completeMessage(message), { code: "MessageLockLost" });
  await receiver.deferMessage(again);
  const [deferred] = await receiver.receiveDeferredMessages(again.sequenceNumber);
  await receiver.completeMessage(deferred);
  await assert.rejects(receiver.renewMessageLock(deferred), { code: "MessageLockLost" });
  await receiver.close();
});

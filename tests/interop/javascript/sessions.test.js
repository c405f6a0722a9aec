"use strict";
// Sessions: named, next available, state, renewal, and what is refused.

const assert = require("node:assert/strict");
const { after, before, test } = require("node:test");
const { ServiceBusClient } = require("@azure/service-bus");
const { Emulator, receiveAll, sleep } = require("./emulator.js");

let emulator, client;
const QUICK = { retryOptions: { maxRetries: 0, timeoutInMs: 2000 } };
before(async () => {
  emulator = await Emulator.start();
  client = new ServiceBusClient(emulator.connectionString);
});
after(async () => {
  await client.close();
  await emulator.stop();
});

async function send(queue, ...sessions) {
  const sender = client.createSender(queue);
  await sender.sendMessages(sessions.map((sessionId, number) => ({ body: `${sessionId} ${number}`, sessionId })));
  await sender.close();
}

test("a session gives its messages in order and settles on the link", async () => {
  const queue = emulator.fresh("session");
  await send(queue, "a", "b", "a", "b", "a", "a");
  await emulator.counters.since();
  const receiver = await client.acceptSession(queue, "a");
  assert.equal(receiver.sessionId, "a");
  const [complete, abandon, defer, dead] = await receiveAll(receiver, 4);
  assert.deepEqual([complete, abandon, defer, dead].map((message) => message.body), ["a 0", "a 2", "a 4", "a 5"]);
  await receiver.completeMessage(complete);
  await receiver.deferMessage(defer);
  await receiver.deadLetterMessage(dead, { deadLetterReason: "why" });
  await receiver.abandonMessage(abandon);
  const [again] = await receiveAll(receiver, 1);
  assert.deepEqual([again.body, again.deliveryCount], ["a 2", 1]);
  await receiver.completeMessage(again);
  const [deferred] = await receiver.receiveDeferredMessages(defer.sequenceNumber);
  await receiver.completeMessage(deferred);
  assert.deepEqual(await receiver.peekMessages(10), []);
  await receiver.close();
  const deadLetters = client.createReceiver(queue, { subQueueType: "deadLetter" });
  const [found] = await receiveAll(deadLetters, 1);
  assert.deepEqual([found.body, found.sessionId, found.deadLetterReason], ["a 5", "a", "why"]);
  await deadLetters.completeMessage(found);
  await deadLetters.close();
  const counted = await emulator.counters.since();
  assert.equal(counted["settled-on-links"], 6);
  assert.equal(counted["settled-by-management"], 1);
  assert.equal(counted["connections-accepted"], 0);
});

test("the next available session is one that nobody holds", async () => {
  const queue = emulator.fresh("session");
  await send(queue, "a", "b");
  const first = await client.acceptNextSession(queue);
  const second = await client.acceptNextSession(queue);
  assert.deepEqual([first.sessionId, second.sessionId], ["a", "b"]);
  for (const receiver of [first, second]) {
    const [message] = await receiveAll(receiver, 1);
    await receiver.completeMessage(message);
    await receiver.close();
  }
  const impatient = new ServiceBusClient(emulator.connectionString, QUICK);
  await assert.rejects(impatient.acceptNextSession(queue), { code: "ServiceTimeout" });
  await impatient.close();
});

test("a session that is held cannot be locked until it is closed", async () => {
  const queue = emulator.fresh("session");
  await send(queue, "a");
  const quick = new ServiceBusClient(emulator.connectionString, QUICK);
  const receiver = await client.acceptSession(queue, "a");
  const [message] = await receiveAll(receiver, 1);
  await assert.rejects(quick.acceptSession(queue, "a"), { code: "SessionCannotBeLocked" });
  await receiver.close();
  const next = await quick.acceptSession(queue, "a");
  const [again] = await receiveAll(next, 1);
  assert.ok(again.sequenceNumber.equals(message.sequenceNumber));
  await next.completeMessage(again);
  await quick.close();
});

test("the state of a session stays until it is cleared", async () => {
  const queue = emulator.fresh("session");
  const first = await client.acceptSession(queue, "a");
  assert.equal(await first.getSessionState(), null);
  await first.setSessionState({ step: 3 });
  await first.close();
  const second = await client.acceptSession(queue, "a");
  assert.deepEqual(await second.getSessionState(), { step: 3 });
  await second.setSessionState(null);
  assert.equal(await second.getSessionState(), null);
  await second.close();
});

test("renewing moves the end of the session lock, and a session renews itself", async () => {
  const [queue, short] = [emulator.fresh("session"), emulator.fresh("short-session")];
  const receiver = await client.acceptSession(queue, "a");
  const before = receiver.sessionLockedUntilUtc;
  assert.ok(before.getTime() - Date.now() > 50_000);
  await sleep(20);
  assert.ok((await receiver.renewSessionLock()) > before);
  await receiver.close();

  await send(short, "a");
  const renewing = await client.acceptSession(short, "a", { maxAutoLockRenewalDurationInMs: 60_000 });
  const [message] = await receiveAll(renewing, 1);
  await sleep(6500);
  await renewing.completeMessage(message);
  await renewing.close();
});

test("sessions and entities without sessions do not mix", async () => {
  const [session, queue] = [emulator.fresh("session"), emulator.fresh("queue")];
  const quick = new ServiceBusClient(emulator.connectionString, QUICK);
  await assert.rejects(quick.createSender(session).sendMessages({ body: "x" }), /SessionId was not set/);
  await assert.rejects(quick.createReceiver(session).receiveMessages(1, { maxWaitTimeInMs: 1000 }), /session/i);
  await assert.rejects(quick.acceptSession(queue, "a"), /session/i);
  await quick.close();
});

test("a session lock that ended is lost for good", async () => {
  const queue = emulator.fresh("short-session");
  await send(queue, "a");
  const receiver = await client.acceptSession(queue, "a", { maxAutoLockRenewalDurationInMs: 0 });
  const [message] = await receiveAll(receiver, 1);
  await sleep(5500);
  await assert.rejects(receiver.completeMessage(message), { code: "SessionLockLost" });
  await assert.rejects(receiver.getSessionState(), { code: "SessionLockLost" });
  await receiver.close();
});

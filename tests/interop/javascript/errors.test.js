"use strict";
// What is refused, by the SDK's own codes.

const assert = require("node:assert/strict");
const { createHmac } = require("node:crypto");
const { after, before, test } = require("node:test");
const { ServiceBusClient } = require("@azure/service-bus");
const { Emulator } = require("./emulator.js");

const QUICK = { retryOptions: { maxRetries: 0 } };
let emulator, client;
before(async () => {
  emulator = await Emulator.start();
  client = new ServiceBusClient(emulator.connectionString, QUICK);
});
after(async () => {
  await client.close();
  await emulator.stop();
});

/** A token for a queue that ends in so many seconds. */
function signed(queue, name, key, seconds) {
  const resource = encodeURIComponent(`sb://${emulator.host}/${queue}`);
  const expiry = Math.floor(Date.now() / 1000) + seconds;
  const signature = createHmac("sha256", key).update(`${resource}\n${expiry}`).digest("base64");
  return `SharedAccessSignature sr=${resource}&sig=${encodeURIComponent(signature)}&se=${expiry}&skn=${name}`;
}

test("an unknown queue, topic and subscription are not found", async () => {
  const topic = emulator.fresh("topic");
  const unknown = { code: "MessagingEntityNotFound" };
  await assert.rejects(client.createSender("nowhere").sendMessages({ body: 1 }), unknown);
  await assert.rejects(client.createReceiver("nowhere").receiveMessages(1), unknown);
  await assert.rejects(client.createReceiver("nowhere").peekMessages(1), unknown);
  await assert.rejects(client.createReceiver(topic, "nowhere").receiveMessages(1), unknown);
});

test("a wrong key, a wrong name and an expired token are refused", async () => {
  const queue = emulator.fresh("queue");
  await emulator.counters.since();
  for (const wrong of [
    emulator.withKey("RootManageSharedAccessKey", "d3Jvbmc="),
    emulator.withKey("nobody", "SAS_KEY_VALUE"),
    emulator.withToken(signed(queue, "RootManageSharedAccessKey", "SAS_KEY_VALUE", -60)),
  ]) {
    const stranger = new ServiceBusClient(wrong, QUICK);
    await assert.rejects(stranger.createSender(queue).sendMessages({ body: 1 }), { code: "UnauthorizedAccess" });
    await stranger.close();
  }
  const counted = await emulator.counters.since();
  assert.equal(counted["tokens-refused"], 3);
  assert.equal(counted["messages-sent"], 0);
});

test("a token that somebody else signed is accepted", async () => {
  const queue = emulator.fresh("queue");
  const guest = new ServiceBusClient(emulator.withToken(signed(queue, "sender", "c2VuZGVy", 600)), QUICK);
  await guest.createSender(queue).sendMessages({ body: 1 });
  await guest.close();
});

test("a key without the right is refused", async () => {
  const queue = emulator.fresh("queue");
  const sender = new ServiceBusClient(emulator.withKey("sender", "c2VuZGVy"), QUICK);
  await sender.createSender(queue).sendMessages({ body: 1 });
  await assert.rejects(sender.createReceiver(queue).receiveMessages(1), /'Listen' claim/);
  await sender.close();
  const listener = new ServiceBusClient(emulator.withKey("listener", "bGlzdGVuZXI="), QUICK);
  assert.equal((await listener.createReceiver(queue).receiveMessages(1)).length, 1);
  await assert.rejects(listener.createSender(queue).sendMessages({ body: 1 }), /'Send' claim/);
  await listener.close();
});

test("a message that is too large is refused", async () => {
  const queue = emulator.fresh("queue");
  const tooLarge = { code: "MessageSizeExceeded", message: /exceeds the limit/ };
  await assert.rejects(client.createSender(queue).sendMessages({ body: Buffer.alloc(300_000) }), tooLarge);
  const sender = client.createSender(queue);
  await assert.rejects(sender.sendMessages([{ body: Buffer.alloc(300_000) }]), { code: "MessageSizeExceeded" });
  await sender.sendMessages({ body: Buffer.alloc(262_000) });
});

test("numbers that are not there are not found", async () => {
  const queue = emulator.fresh("queue");
  const Long = require("long");
  const missing = { code: "MessageNotFound" };
  await assert.rejects(client.createReceiver(queue).receiveDeferredMessages(Long.fromNumber(4711)), missing);
  await assert.rejects(client.createSender(queue).cancelScheduledMessages(Long.fromNumber(4711)), missing);
});

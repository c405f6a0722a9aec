"use strict";
// Topics, subscriptions, and the rule manager.

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

async function received(topic, subscription, wait = 1000) {
  const receiver = client.createReceiver(topic, subscription, { receiveMode: "receiveAndDelete" });
  const messages = await receiver.receiveMessages(10, { maxWaitTimeInMs: wait });
  await receiver.close();
  return messages;
}

test("subscriptions get copies by their rules", async () => {
  const topic = emulator.fresh("topic");
  await client.createSender(topic).sendMessages([
    { body: "a", applicationProperties: { colour: "red", size: 1 } },
    { body: "b", applicationProperties: { colour: "red", size: 2.5 } },
    { body: "c", applicationProperties: { colour: "blue", size: 3 } },
  ].map((message) => ({ ...message, sessionId: "s" })));
  assert.deepEqual((await received(topic, "all")).map((message) => message.body), ["a", "b", "c"]);
  const [red, ...more] = await received(topic, "red");
  assert.deepEqual([red.body, red.applicationProperties.matched, more], ["b", "red", []]);
  const session = await client.acceptSession(topic, "session", "s");
  const messages = await receiveAll(session, 3);
  for (const message of messages) await session.completeMessage(message);
  await session.close();
});

test("subscriptions settle, defer and dead-letter as queues do", async () => {
  const topic = emulator.fresh("topic");
  await client.createSender(topic).sendMessages(["a", "b", "c"].map((body) => ({ body, sessionId: "s" })));
  const receiver = client.createReceiver(topic, "all");
  const [a, b, c] = await receiveAll(receiver, 3);
  await receiver.completeMessage(a);
  await receiver.deferMessage(b);
  await receiver.deadLetterMessage(c, { deadLetterReason: "why" });
  const [deferred] = await receiver.receiveDeferredMessages(b.sequenceNumber);
  await receiver.completeMessage(deferred);
  await receiver.close();
  const deadLetters = client.createReceiver(topic, "all", { subQueueType: "deadLetter" });
  const [dead] = await receiveAll(deadLetters, 1);
  assert.deepEqual([dead.body, dead.deadLetterReason], ["c", "why"]);
  await deadLetters.completeMessage(dead);
  await deadLetters.close();
});

test("the rule manager adds, lists and removes rules of every kind", async () => {
  const topic = emulator.fresh("topic");
  const rules = client.createRuleManager(topic, "all");
  const list = async () => {
    const found = [];
    for await (const rule of rules.listRules()) found.push(rule);
    // Of an empty list the SDK makes one rule that is undefined.
    return found.filter((rule) => rule !== undefined);
  };
  const [standard, ...none] = await list();
  assert.deepEqual([standard.name, standard.filter.sqlExpression, none], ["$Default", "1=1", []]);
  await rules.deleteRule("$Default");
  await rules.createRule("big", { sqlExpression: "size > 10" }, { sqlExpression: "SET big = TRUE" });
  await rules.createRule("named", {
    subject: "subject", correlationId: "correlation", applicationProperties: { colour: "red", count: 3 },
  });
  const found = Object.fromEntries((await list()).map((rule) => [rule.name, rule]));
  assert.deepEqual(Object.keys(found), ["big", "named"]);
  assert.equal(found.big.filter.sqlExpression, "size > 10");
  assert.equal(found.big.action.sqlExpression, "SET big = TRUE");
  assert.equal(found.named.filter.subject, "subject");
  assert.equal(found.named.filter.correlationId, "correlation");
  assert.deepEqual(found.named.filter.applicationProperties, { colour: "red", count: 3 });
  await assert.rejects(rules.createRule("big", { sqlExpression: "1=1" }), { code: "MessagingEntityAlreadyExists" });
  await assert.rejects(rules.deleteRule("other"), { code: "MessagingEntityNotFound" });
  await assert.rejects(rules.createRule("wrong", { sqlExpression: "size >" }));

  const sender = client.createSender(topic);
  const properties = { colour: "red", count: 3 };
  await sender.sendMessages([
    { body: "big", sessionId: "s", applicationProperties: { size: 11 } },
    { body: "small", sessionId: "s", applicationProperties: { size: 9 } },
    { body: "named", sessionId: "s", subject: "subject", correlationId: "correlation", applicationProperties: properties },
    { body: "nearly", sessionId: "s", subject: "subject", applicationProperties: properties },
  ]);
  const messages = await received(topic, "all");
  assert.deepEqual(messages.map((message) => message.body), ["big", "named"]);
  assert.equal(messages[0].applicationProperties.big, true);
  await rules.deleteRule("big");
  await rules.deleteRule("named");
  assert.deepEqual(await list(), []);
});

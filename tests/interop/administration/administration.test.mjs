// The JavaScript SDK's administration client against the management endpoint, over HTTPS: it speaks nothing else.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { after, beforeEach, describe, test } from "node:test";

// NODE_PATH counts for `require` only.
const { ServiceBusAdministrationClient, ServiceBusClient } = createRequire(import.meta.url)("@azure/service-bus");

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
const [ready, amqp] = text.split("\n");
const admin = Number(ready.match(/\badmin=\S+:(\d+)/)[1]);

const connect = (name = "RootManageSharedAccessKey", key = "SAS_KEY_VALUE", options = {}) =>
  new ServiceBusAdministrationClient(
    `Endpoint=sb://localhost:${admin};SharedAccessKeyName=${name};SharedAccessKey=${key}`,
    { retryOptions: { maxRetries: 0 }, ...options },
  );
const client = connect();

const all = async (items) => {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
};
const names = async (items) => (await all(items)).map((item) => item.name ?? item.subscriptionName);

beforeEach(async () => {
  for (const name of await names(client.listQueues())) await client.deleteQueue(name);
  for (const name of await names(client.listTopics())) await client.deleteTopic(name);
});

const has = (entity, expected) => {
  for (const [name, value] of Object.entries(expected)) assert.deepEqual(entity[name], value, name);
};

const key = (keyName, accessRights) => ({
  claimType: "SharedAccessKey",
  accessRights,
  keyName,
  primaryKey: "pNSE47k3u+gBAwhkT7dEBMNyaQ8p8qKQ31DUHWmVJxM=",
  secondaryKey: "UreXLPWiP6Murmsq2HYiIXs23qAvWa36ZOL3gb9rXLs=",
});

describe("entities", () => {
  const longest = "P10675199DT2H48M5.4775807S";
  const queue = {
    lockDuration: "PT45S",
    requiresDuplicateDetection: true,
    defaultMessageTimeToLive: "P2D",
    deadLetteringOnMessageExpiration: true,
    duplicateDetectionHistoryTimeWindow: "PT1M",
    maxDeliveryCount: 5,
    enableBatchedOperations: false,
    status: "ReceiveDisabled",
    userMetadata: "text with <angles> & ümläuts",
    autoDeleteOnIdle: "PT1H",
    enablePartitioning: true,
    enableExpress: true,
    maxMessageSizeInKilobytes: 256,
  };

  test("a queue with every property", async () => {
    await client.createQueue("target");
    const rules = [key("one", ["Manage", "Send", "Listen"]), key("two", ["Listen"])];
    const created = await client.createQueue("queue", {
      ...queue,
      maxSizeInMegabytes: 2048,
      authorizationRules: rules,
      forwardTo: `sb://localhost:${admin}/target`,
      forwardDeadLetteredMessagesTo: `SB://LOCALHOST:${admin}/target`,
    });
    for (const found of [created, await client.getQueue("queue"), (await all(client.listQueues()))[0]]) {
      // F8: what forwards is never idle.
      has(found, { name: "queue", ...queue, autoDeleteOnIdle: longest, maxSizeInMegabytes: 32768, availabilityStatus: "Available", requiresSession: false });
      // FWD7
      assert.equal(found.forwardTo, `sb://localhost:${admin}/target`);
      assert.equal(found.forwardDeadLetteredMessagesTo, `sb://localhost:${admin}/target`);
      // ADM31
      assert.deepEqual(found.authorizationRules.map((rule) => rule.accessRights), [["Manage", "Send", "Listen"], ["Listen"]]);
      assert.deepEqual(found.authorizationRules.map((rule) => rule.primaryKey), rules.map((rule) => rule.primaryKey));
    }
    const changed = {
      lockDuration: "PT50S",
      defaultMessageTimeToLive: "PT3M",
      deadLetteringOnMessageExpiration: false,
      duplicateDetectionHistoryTimeWindow: "PT2M",
      maxDeliveryCount: 8,
      enableBatchedOperations: true,
      status: "SendDisabled",
      userMetadata: "other",
      autoDeleteOnIdle: "PT2H",
    };
    const read = await client.getQueue("queue");
    Object.assign(read, changed, { authorizationRules: [key("three", ["Send"])] });
    const updated = await client.updateQueue(read);
    for (const [found, autoDeleteOnIdle] of [[updated, "PT2H"], [await client.getQueue("queue"), longest]]) {
      has(found, { ...changed, autoDeleteOnIdle });
      assert.deepEqual(found.authorizationRules.map((rule) => rule.keyName), ["three"]);
    }
    await client.deleteQueue("queue");
    assert.equal(await client.queueExists("queue"), false);
    assert.equal(await client.queueExists("target"), true);
  });

  test("adm20: the defaults of a queue", async () => {
    has(await client.createQueue("plain"), {
      lockDuration: "PT1M",
      maxSizeInMegabytes: 1024,
      requiresDuplicateDetection: false,
      requiresSession: false,
      defaultMessageTimeToLive: longest,
      deadLetteringOnMessageExpiration: false,
      duplicateDetectionHistoryTimeWindow: "PT10M",
      maxDeliveryCount: 10,
      enableBatchedOperations: true,
      status: "Active",
      autoDeleteOnIdle: longest,
      enablePartitioning: false,
      enableExpress: false,
      forwardTo: undefined,
      userMetadata: undefined,
      authorizationRules: undefined,
    });
  });

  test("a topic with every property", async () => {
    const topic = {
      maxSizeInMegabytes: 3072,
      requiresDuplicateDetection: true,
      defaultMessageTimeToLive: "PT3M",
      duplicateDetectionHistoryTimeWindow: "PT1M",
      enableBatchedOperations: false,
      supportOrdering: false,
      status: "SendDisabled",
      userMetadata: "meta",
      autoDeleteOnIdle: "PT7M",
      enableExpress: true,
      maxMessageSizeInKilobytes: 256,
    };
    const created = await client.createTopic("topic", { ...topic, authorizationRules: [key("one", ["Send"])] });
    for (const found of [created, await client.getTopic("topic"), (await all(client.listTopics()))[0]]) {
      has(found, topic);
      assert.deepEqual(found.authorizationRules.map((rule) => rule.keyName), ["one"]);
    }
    const read = await client.getTopic("topic");
    await client.updateTopic(Object.assign(read, { supportOrdering: true, status: "Active", maxSizeInMegabytes: 5120 }));
    has(await client.getTopic("topic"), { supportOrdering: true, status: "Active", maxSizeInMegabytes: 5120 });
    const partitioned = await client.createTopic("partitioned", { enablePartitioning: true, maxSizeInMegabytes: 2048 });
    has(partitioned, { enablePartitioning: true, maxSizeInMegabytes: 32768 });
    assert.equal(await client.topicExists("topic"), true);
    await client.deleteTopic("topic");
    assert.equal(await client.topicExists("topic"), false);
  });

  test("a subscription with every property", async () => {
    await client.createQueue("target");
    await client.createTopic("topic");
    const subscription = {
      lockDuration: "PT5S",
      defaultMessageTimeToLive: "P2D",
      deadLetteringOnMessageExpiration: true,
      deadLetteringOnFilterEvaluationExceptions: false,
      maxDeliveryCount: 20,
      enableBatchedOperations: false,
      status: "ReceiveDisabled",
      userMetadata: "meta",
      autoDeleteOnIdle: "PT1H",
    };
    const forwarding = { forwardTo: "target", forwardDeadLetteredMessagesTo: "target" };
    const created = await client.createSubscription("topic", "sub", { ...subscription, ...forwarding });
    const listed = (await all(client.listSubscriptions("topic")))[0];
    for (const found of [created, await client.getSubscription("topic", "sub"), listed]) {
      has(found, { topicName: "topic", subscriptionName: "sub", requiresSession: false, ...subscription, autoDeleteOnIdle: longest });
      // FWD5
      assert.match(found.forwardTo, /^sb:\/\/localhost(:\d+)?\/target$/);
      assert.match(found.forwardDeadLetteredMessagesTo, /^sb:\/\/localhost(:\d+)?\/target$/);
    }
    const read = await client.getSubscription("topic", "sub");
    await client.updateSubscription(Object.assign(read, { lockDuration: "PT4M", maxDeliveryCount: 7, status: "Active" }));
    has(await client.getSubscription("topic", "sub"), { lockDuration: "PT4M", maxDeliveryCount: 7, status: "Active" });
    assert.equal((await client.createSubscription("topic", "sessions", { requiresSession: true })).requiresSession, true);
    assert.equal(await client.subscriptionExists("topic", "sub"), true);
    await client.deleteSubscription("topic", "sub");
    assert.equal(await client.subscriptionExists("topic", "sub"), false);
  });

  test("rul43, rul44: the rule that a subscription starts with", async () => {
    await client.createTopic("topic");
    const filter = { subject: "red" };
    await client.createSubscription("topic", "named", { defaultRuleOptions: { name: "first", filter } });
    const [named] = await all(client.listRules("topic", "named"));
    assert.equal(named.name, "first");
    assert.equal(named.filter.subject, "red");
    const action = { sqlExpression: "SET a = 'b'" };
    const created = await client.createSubscription("topic", "action", { defaultRuleOptions: { name: "$Default", filter: { sqlExpression: "1=1" }, action } });
    assert.equal(created.defaultRuleOptions, undefined);
    const [only] = await all(client.listRules("topic", "action"));
    assert.equal(only.name, "$Default");
    assert.equal(only.action.sqlExpression, action.sqlExpression);
  });

  const filters = {
    sql: { sqlExpression: "price > 10 AND (sys.label LIKE '%String2')" },
    parameters: {
      sqlExpression: "a = @string OR b = @int OR c = @float OR d = @bool",
      sqlParameters: { "@string": "text", "@int": 1, "@float": 1.5, "@bool": true },
    },
    correlation: {
      correlationId: "1",
      messageId: "2",
      to: "3",
      replyTo: "4",
      subject: "5",
      sessionId: "6",
      replyToSessionId: "7",
      contentType: "8",
      applicationProperties: { text: "x", int: 1, float: 1.5, bool: false, date: new Date("2026-11-24T01:02:03Z") },
    },
  };
  for (const [name, filter] of Object.entries(filters)) {
    test(`adm65 to adm68: a rule with a filter: ${name}`, async () => {
      await client.createTopic("topic");
      await client.createSubscription("topic", "sub");
      const action = { sqlExpression: "SET sys.label = @value", sqlParameters: { "@value": "x" } };
      const created = await client.createRule("topic", "sub", "rule", filter, action);
      for (const found of [created, await client.getRule("topic", "sub", "rule"), (await all(client.listRules("topic", "sub")))[1]]) {
        has(found.filter, filter);
        assert.equal(found.action.sqlExpression, action.sqlExpression);
        assert.deepEqual(found.action.sqlParameters, action.sqlParameters);
      }
      const read = await client.getRule("topic", "sub", "rule");
      await client.updateRule("topic", "sub", Object.assign(read, { filter: { sqlExpression: "1=2" } }));
      assert.equal((await client.getRule("topic", "sub", "rule")).filter.sqlExpression, "1=2");
      assert.equal(await client.ruleExists("topic", "sub", "rule"), true);
      await client.deleteRule("topic", "sub", "rule");
      assert.equal(await client.ruleExists("topic", "sub", "rule"), false);
    });
  }

  test("adm64: the namespace", async () => {
    has(await client.getNamespaceProperties(), { name: "sbemulatorns", messagingSku: "Standard" });
  });
});

describe("lists", () => {
  test("adm62, adm63: pages past 100, by name", async () => {
    const expected = Array.from({ length: 130 }, (_, number) => `queue-${String(number).padStart(3, "0")}`);
    for (const name of [...expected].reverse()) await client.createQueue(name);
    assert.deepEqual(await names(client.listQueues()), expected);
    assert.deepEqual(await names(client.listQueuesRuntimeProperties()), expected);
    const sizes = [];
    for await (const page of client.listQueues().byPage({ maxPageSize: 60 })) sizes.push(page.length);
    assert.deepEqual(sizes, [60, 60, 10]);
  });

  test("adm62: pages of topics, subscriptions and rules", async () => {
    const expected = ["a", "b", "c", "d", "e"];
    for (const name of expected) {
      await client.createTopic(name);
      await client.createSubscription("a", name);
      await client.createRule("a", "a", name, { sqlExpression: "1=1" });
    }
    const lists = [
      [client.listTopics(), expected],
      [client.listTopicsRuntimeProperties(), expected],
      [client.listSubscriptions("a"), expected],
      [client.listSubscriptionsRuntimeProperties("a"), expected],
      [client.listRules("a", "a"), ["$Default", ...expected]],
    ];
    for (const [list, wanted] of lists) {
      const found = [];
      let pages = 0;
      for await (const page of list.byPage({ maxPageSize: 2 })) {
        assert.ok(page.length <= 2);
        found.push(...page.map((item) => item.subscriptionName ?? item.name));
        pages += 1;
      }
      assert.deepEqual(found, wanted);
      assert.equal(pages, Math.ceil(wanted.length / 2));
    }
  });
});

describe("refusals", () => {
  const refused = (work, statusCode, text, code) =>
    assert.rejects(work, (error) => {
      assert.equal(error.statusCode, statusCode, error.message);
      assert.match(error.message, text);
      if (code) assert.equal(error.code, code);
      // ADM46
      if (statusCode !== 401) assert.match(error.message, /^(The messaging entity|Entity|SubCode|No service|Parameter|The )/);
      return true;
    });

  beforeEach(async () => {
    await client.createQueue("queue");
    await client.createTopic("topic");
    await client.createSubscription("topic", "sub");
    await client.createRule("topic", "sub", "rule", { sqlExpression: "1=1" });
  });

  test("adm43, adm44: what is there already", async () => {
    const code = "MessageEntityAlreadyExistsError";
    await refused(client.createQueue("queue"), 409, /SubCode=40900/, code);
    await refused(client.createTopic("topic"), 409, /SubCode=40900/, code);
    await refused(client.createSubscription("topic", "sub"), 409, /already exists/, code);
    await refused(client.createRule("topic", "sub", "rule", { sqlExpression: "1=1" }), 409, /already exists/, code);
  });

  test("adm35 to adm41: what is missing", async () => {
    const code = "MessageEntityNotFoundError";
    for (const work of [
      () => client.getQueue("none"),
      () => client.getTopic("none"),
      () => client.getSubscription("topic", "none"),
      () => client.getSubscription("none", "sub"),
      () => client.getRule("topic", "sub", "none"),
      () => client.deleteQueue("none"),
      () => client.deleteTopic("none"),
      () => client.deleteSubscription("topic", "none"),
      () => client.deleteRule("topic", "sub", "none"),
      () => client.createSubscription("none", "sub"),
    ]) {
      await assert.rejects(work, (error) => {
        assert.equal(error.code, code, error.message);
        return true;
      });
    }
    const queue = await client.getQueue("queue");
    await client.deleteQueue("queue");
    await refused(client.updateQueue(queue), 404, /SubCode=40400/);
  });

  test("what is not valid", async () => {
    await refused(client.createQueue("long", { lockDuration: "PT6M" }), 400, /exceeds the allowed maximum of '5' minutes/);
    await refused(client.createQueue("size", { maxMessageSizeInKilobytes: 1024 }), 400, /SubCode=40000. Bad Request/);
    await refused(client.createQueue("lonely", { forwardTo: "nowhere" }), 400, /does not exist/);
    await refused(client.createQueue("when", { lockDuration: "soon" }), 400, /LockDuration/);
    await refused(client.createRule("topic", "sub", "bad", { sqlExpression: "a =" }), 400, /There was an error parsing the SQL expression/);
    const queue = await client.getQueue("queue");
    await refused(client.updateQueue({ ...queue, requiresSession: true }), 400, /RequiresSession property of an existing Queue cannot be changed/);
  });

  test("keys that are not valid", async () => {
    for (const other of [connect("nobody"), connect("RootManageSharedAccessKey", "wrong")]) {
      for (const work of [
        () => other.getQueue("queue"),
        () => other.createQueue("new"),
        () => other.deleteTopic("topic"),
        () => all(other.listQueues()),
      ]) {
        await assert.rejects(work, (error) => {
          assert.equal(error.statusCode, 401);
          assert.equal(error.code, "UnauthorizedRequestError");
          return true;
        });
      }
    }
    assert.equal(await client.topicExists("topic"), true);
  });
});

describe("live entities", () => {
  test("adm53, adm54: counts", async () => {
    await client.createQueue("queue");
    await client.createTopic("topic");
    await client.createSubscription("topic", "sub");
    const messaging = new ServiceBusClient(amqp);
    for (const name of ["queue", "topic"]) {
      const sender = messaging.createSender(name);
      await sender.sendMessages([{ body: "one" }, { body: "two" }]);
      await sender.scheduleMessages({ body: "three" }, new Date(Date.now() + 3_600_000));
      await sender.close();
    }
    for (const receiver of [messaging.createReceiver("queue"), messaging.createReceiver("topic", "sub")]) {
      const [message] = await receiver.receiveMessages(1);
      await receiver.deadLetterMessage(message);
      await receiver.close();
    }
    await messaging.close();
    has(await client.getQueueRuntimeProperties("queue"), {
      activeMessageCount: 1,
      deadLetterMessageCount: 1,
      scheduledMessageCount: 1,
      transferMessageCount: 0,
      transferDeadLetterMessageCount: 0,
      totalMessageCount: 3,
    });
    has(await client.getSubscriptionRuntimeProperties("topic", "sub"), {
      activeMessageCount: 1,
      deadLetterMessageCount: 1,
      totalMessageCount: 2,
    });
    has(await client.getTopicRuntimeProperties("topic"), { scheduledMessageCount: 1, subscriptionCount: 1 });
  });
});

"use strict";
// The operations of the frame comparison with the SDK for JavaScript.
//
//     operate.js CONNECTION_STRING QUEUE SESSIONS

const { ServiceBusClient } = require("@azure/service-bus");

const [connectionString, queue, sessions] = process.argv.slice(2);

async function one(receiver) {
  const [message] = await receiver.receiveMessages(1, { maxWaitTimeInMs: 10_000 });
  return message;
}

async function main() {
  const client = new ServiceBusClient(connectionString, { retryOptions: { maxRetries: 0, timeoutInMs: 10_000 } });
  const sender = client.createSender(queue);
  await sender.sendMessages({
    body: Buffer.from("one"), messageId: "one", subject: "subject", contentType: "text/plain",
    correlationId: "correlation", timeToLive: 60_000, applicationProperties: { text: "value", flag: true },
  });
  await sender.sendMessages(["two", "three"].map((name) => ({ body: Buffer.from(name), messageId: name })));
  const later = { body: Buffer.from("later"), messageId: "later" };
  const numbers = await sender.scheduleMessages(later, new Date(253_402_300_000_000));
  await sender.cancelScheduledMessages(numbers);

  const receiver = client.createReceiver(queue, { maxAutoLockRenewalDurationInMs: 0 });
  await receiver.peekMessages(2);
  await receiver.completeMessage(await one(receiver));
  await receiver.abandonMessage(await one(receiver));
  const second = await one(receiver);
  await receiver.renewMessageLock(second);
  await receiver.deadLetterMessage(second, { deadLetterReason: "why", deadLetterErrorDescription: "because" });
  const third = await one(receiver);
  await receiver.deferMessage(third);
  const [deferred] = await receiver.receiveDeferredMessages(third.sequenceNumber);
  await receiver.completeMessage(deferred);
  await receiver.close();

  const dead = client.createReceiver(queue, { subQueueType: "deadLetter", receiveMode: "receiveAndDelete" });
  await one(dead);
  await dead.close();
  await sender.close();

  const other = client.createSender(sessions);
  await other.sendMessages({ body: Buffer.from("one"), messageId: "one", sessionId: "a" });
  await other.close();
  const session = await client.acceptSession(sessions, "a", { maxAutoLockRenewalDurationInMs: 0 });
  await session.setSessionState("state");
  await session.getSessionState();
  await session.renewSessionLock();
  await session.completeMessage(await one(session));
  await session.close();
  await client.close();

  const impatient = new ServiceBusClient(connectionString, { retryOptions: { maxRetries: 0, timeoutInMs: 2_000 } });
  const accepted = await impatient.acceptNextSession(sessions).catch(() => null);
  if (accepted) throw new Error("a session without messages");
  await impatient.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

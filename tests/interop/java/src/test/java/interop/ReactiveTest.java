package interop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.messaging.servicebus.ServiceBusClientBuilder;
import com.azure.messaging.servicebus.ServiceBusException;
import com.azure.messaging.servicebus.ServiceBusFailureReason;
import com.azure.messaging.servicebus.ServiceBusMessage;
import com.azure.messaging.servicebus.ServiceBusReceivedMessage;
import com.azure.messaging.servicebus.ServiceBusReceiverAsyncClient;
import com.azure.messaging.servicebus.ServiceBusReceiverClient;
import com.azure.messaging.servicebus.ServiceBusRuleManagerAsyncClient;
import com.azure.messaging.servicebus.ServiceBusSenderAsyncClient;
import com.azure.messaging.servicebus.ServiceBusSessionReceiverAsyncClient;
import com.azure.messaging.servicebus.administration.models.CreateRuleOptions;
import com.azure.messaging.servicebus.administration.models.RuleProperties;
import com.azure.messaging.servicebus.administration.models.SqlRuleFilter;
import com.azure.messaging.servicebus.models.AbandonOptions;
import com.azure.messaging.servicebus.models.CompleteOptions;
import com.azure.messaging.servicebus.models.DeadLetterOptions;
import com.azure.messaging.servicebus.models.ServiceBusReceiveMode;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;

/** The reactive clients, used as streams. */
class ReactiveTest {
    private final Emulator emulator = Emulator.shared();
    private final ServiceBusClientBuilder clients = emulator.clients();

    private ServiceBusReceiverAsyncClient receiver(String queue) {
        return clients.receiver().queueName(queue).disableAutoComplete().maxAutoLockRenewDuration(Duration.ZERO)
            .buildAsyncClient();
    }

    private static <T> T await(Mono<T> mono) {
        return mono.block(Sdk.PATIENCE);
    }

    private static <T> List<T> await(Flux<T> flux) {
        return flux.collectList().block(Sdk.PATIENCE);
    }

    private void assertEmpty(String queue) {
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue)) {
            Sdk.assertEmpty(receiver);
        }
    }

    @Test
    void whatIsSentInEveryWayIsReceivedInOrderAndCompletedOnItsOwn() {
        String queue = emulator.fresh("queue");
        try (ServiceBusSenderAsyncClient sender = clients.sender().queueName(queue).buildAsyncClient();
            ServiceBusReceiverAsyncClient receiver = clients.receiver().queueName(queue).buildAsyncClient()) {
            await(sender.sendMessage(new ServiceBusMessage("one"))
                .then(sender.sendMessages(List.of(new ServiceBusMessage("two"), new ServiceBusMessage("three"))))
                .then(sender.createMessageBatch())
                .flatMap(batch -> {
                    assertTrue(batch.tryAddMessage(new ServiceBusMessage("four")));
                    return sender.sendMessages(batch);
                }));
            assertEquals(List.of("one", "two", "three", "four"),
                await(receiver.receiveMessages().take(4).map(Sdk::body)));
        }
        assertEmpty(queue);
    }

    @Test
    void messagesAreSettledInEveryWayWhileTheyStream() {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, "complete", "abandon", "defer", "dead-letter");
        try (ServiceBusReceiverAsyncClient receiver = receiver(queue);
            ServiceBusReceiverClient dead = Sdk.deadLetters(clients, queue)) {
            List<String> bodies = await(receiver.receiveMessages().concatMap(message -> {
                Mono<Void> settled = switch (Sdk.body(message)) {
                    case "abandon" -> message.getDeliveryCount() == 0
                        ? receiver.abandon(message, new AbandonOptions().setPropertiesToModify(Map.of("by", "abandon")))
                        : receiver.complete(message);
                    case "defer" -> receiver.defer(message);
                    case "dead-letter" ->
                        receiver.deadLetter(message, new DeadLetterOptions().setDeadLetterReason("why"));
                    default -> receiver.complete(message);
                };
                return settled.thenReturn(Sdk.body(message) + message.getApplicationProperties());
            }).take(5));
            assertEquals(List.of("abandon{by=abandon}", "abandon{}", "complete{}", "dead-letter{}", "defer{}"),
                bodies.stream().sorted().toList());
            List<ServiceBusReceivedMessage> peeked = await(receiver.peekMessages(10, 1));
            assertEquals(List.of("defer"), Sdk.bodies(peeked));
            long number = peeked.get(0).getSequenceNumber();
            await(receiver.receiveDeferredMessages(List.of(number)).concatMap(receiver::complete));
            assertNull(await(receiver.peekMessage(1)));
            assertEquals("why", Sdk.receiveOne(dead).getDeadLetterReason());
        }
    }

    @Test
    void locksAreRenewedByHand() {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, "x");
        try (ServiceBusReceiverAsyncClient receiver = receiver(queue)) {
            // The link ends with the stream: what is settled on it comes before that.
            await(receiver.receiveMessages().concatMap(message -> {
                OffsetDateTime before = message.getLockedUntil();
                return receiver.renewMessageLock(message)
                    .doOnNext(renewed -> assertTrue(renewed.isAfter(before)))
                    .then(receiver.complete(message))
                    .thenReturn(message);
            }).take(1));
        }
        assertEmpty(queue);
    }

    @Test
    void aStreamRenewsTheLocksOfWhatItHandles() {
        String queue = emulator.fresh("short");
        Sdk.send(clients, queue, "x");
        try (ServiceBusReceiverAsyncClient receiver = clients.receiver().queueName(queue).disableAutoComplete()
            .maxAutoLockRenewDuration(Duration.ofMinutes(1)).buildAsyncClient()) {
            // The renewal lasts as long as the handler does, which blocks.
            receiver.receiveMessages().doOnNext(message -> {
                try {
                    Sdk.passes(OffsetDateTime.now().plusSeconds(7));
                } catch (InterruptedException error) {
                    throw new IllegalStateException(error);
                }
                await(receiver.complete(message));
            }).take(1).blockLast(Sdk.PATIENCE);
        }
        assertEmpty(queue);
    }

    @Test
    void messagesAreScheduledAndCancelled() {
        String queue = emulator.fresh("queue");
        OffsetDateTime later = OffsetDateTime.now().plusHours(1);
        try (ServiceBusSenderAsyncClient sender = clients.sender().queueName(queue).buildAsyncClient();
            ServiceBusReceiverAsyncClient receiver = receiver(queue)) {
            long one = await(sender.scheduleMessage(new ServiceBusMessage("one"), later));
            List<Long> two = await(sender.scheduleMessages(
                List.of(new ServiceBusMessage("two"), new ServiceBusMessage("three")), later));
            assertEquals(List.of("one", "two", "three"), Sdk.bodies(await(receiver.peekMessages(10))));
            await(sender.cancelScheduledMessage(one).then(sender.cancelScheduledMessages(two)));
            assertEquals(List.of(), await(receiver.peekMessages(10, 1)));
        }
    }

    @Test
    void sessionsAreAcceptedAndKeepTheirState() {
        String queue = emulator.fresh("session");
        byte[] state = "state".getBytes(StandardCharsets.UTF_8);
        Sdk.send(clients, queue,
            List.of(new ServiceBusMessage("a 0").setSessionId("a"), new ServiceBusMessage("b 0").setSessionId("b")));
        try (ServiceBusSessionReceiverAsyncClient acceptor =
            clients.sessionReceiver().queueName(queue).disableAutoComplete().buildAsyncClient()) {
            for (Mono<ServiceBusReceiverAsyncClient> accepted : List.of(acceptor.acceptSession("b"),
                acceptor.acceptNextSession())) {
                List<String> bodies = await(Flux.usingWhen(accepted,
                    receiver -> receiver.receiveMessages().concatMap(message -> receiver.complete(message)
                        .then(receiver.setSessionState(state))
                        .then(receiver.renewSessionLock())
                        .doOnNext(until -> assertTrue(until.isAfter(OffsetDateTime.now())))
                        .then(receiver.getSessionState())
                        .doOnNext(found -> assertArrayEquals(state, found))
                        .thenReturn(Sdk.body(message))).take(1),
                    // Closing blocks.
                    receiver -> Mono.fromRunnable(receiver::close).subscribeOn(Schedulers.boundedElastic())));
                assertEquals(1, bodies.size());
                assertTrue(List.of("a 0", "b 0").contains(bodies.get(0)));
            }
        }
    }

    @Test
    void transactionsAreCommittedAndRolledBack() {
        String queue = emulator.fresh("queue");
        try (ServiceBusSenderAsyncClient sender = clients.sender().queueName(queue).buildAsyncClient();
            ServiceBusReceiverAsyncClient receiver = receiver(queue)) {
            await(sender.createTransaction().flatMap(transaction ->
                sender.sendMessage(new ServiceBusMessage("dropped"), transaction)
                    .then(sender.rollbackTransaction(transaction))));
            await(sender.createTransaction().flatMap(transaction ->
                sender.sendMessage(new ServiceBusMessage("kept"), transaction)
                    .then(sender.commitTransaction(transaction))));
            List<String> found = await(receiver.receiveMessages().concatMap(message ->
                receiver.createTransaction().flatMap(transaction ->
                    receiver.complete(message, new CompleteOptions().setTransactionContext(transaction))
                        .then(receiver.commitTransaction(transaction))).thenReturn(Sdk.body(message))).take(1));
            assertEquals(List.of("kept"), found);
        }
        assertEmpty(queue);
    }

    @Test
    void messagesAreReceivedAndDeleted() {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, "a", "b", "c");
        try (ServiceBusReceiverAsyncClient receiver = clients.receiver().queueName(queue)
            .receiveMode(ServiceBusReceiveMode.RECEIVE_AND_DELETE).buildAsyncClient()) {
            assertEquals(List.of("a", "b", "c"), await(receiver.receiveMessages().take(3).map(Sdk::body)));
        }
        assertEmpty(queue);
    }

    @Test
    void rulesAreMadeListedAndDeleted() {
        String topic = emulator.fresh("topic");
        try (ServiceBusRuleManagerAsyncClient rules =
            clients.ruleManager().topicName(topic).subscriptionName("all").buildAsyncClient()) {
            List<String> names = await(rules.createRule("red", new CreateRuleOptions(new SqlRuleFilter("colour = 'red'")))
                .then(rules.deleteRule("$Default"))
                .thenMany(rules.listRules()).map(RuleProperties::getName));
            assertEquals(List.of("red"), names);
        }
    }

    @Test
    void errorsEndTheStream() {
        try (ServiceBusReceiverAsyncClient receiver = emulator.clients().retryOptions(Sdk.once()).receiver()
            .queueName("nowhere").buildAsyncClient()) {
            ServiceBusException error =
                Sdk.assertFails(ServiceBusFailureReason.MESSAGING_ENTITY_NOT_FOUND, () -> await(receiver.peekMessage()));
            assertFalse(error.isTransient());
        }
    }
}

package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.messaging.servicebus.ServiceBusClientBuilder;
import com.azure.messaging.servicebus.ServiceBusMessage;
import com.azure.messaging.servicebus.ServiceBusReceivedMessage;
import com.azure.messaging.servicebus.ServiceBusReceiverClient;
import com.azure.messaging.servicebus.models.AbandonOptions;
import com.azure.messaging.servicebus.models.DeadLetterOptions;
import com.azure.messaging.servicebus.models.DeferOptions;
import com.azure.messaging.servicebus.models.ServiceBusMessageState;
import com.azure.messaging.servicebus.models.ServiceBusReceiveMode;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Receiving: settlement, sub-queues, modes, prefetch, peek. */
class ReceivingTest {
    private final Emulator emulator = Emulator.shared();
    private final ServiceBusClientBuilder clients = emulator.clients();

    @Test
    void messagesAreCompletedAbandonedDeferredAndDeadLettered() {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, "complete", "abandon", "defer", "dead-letter");
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue);
            ServiceBusReceiverClient dead = Sdk.deadLetters(clients, queue)) {
            List<ServiceBusReceivedMessage> messages = Sdk.receive(receiver, 4);
            assertEquals(List.of("complete", "abandon", "defer", "dead-letter"), Sdk.bodies(messages));
            receiver.complete(messages.get(0));
            receiver.defer(messages.get(2));
            receiver.deadLetter(messages.get(3),
                new DeadLetterOptions().setDeadLetterReason("why").setDeadLetterErrorDescription("because"));
            receiver.abandon(messages.get(1));

            ServiceBusReceivedMessage again = Sdk.receiveOne(receiver);
            assertEquals("abandon", Sdk.body(again));
            assertEquals(1, again.getDeliveryCount());
            assertEquals(messages.get(1).getSequenceNumber(), again.getSequenceNumber());
            assertNotEquals(messages.get(1).getLockToken(), again.getLockToken());
            receiver.complete(again);

            ServiceBusReceivedMessage deferred = receiver.receiveDeferredMessage(messages.get(2).getSequenceNumber());
            assertEquals("defer", Sdk.body(deferred));
            assertEquals(ServiceBusMessageState.DEFERRED, deferred.getState());
            receiver.complete(deferred);
            Sdk.assertEmpty(receiver);

            ServiceBusReceivedMessage found = Sdk.receiveOne(dead);
            assertEquals("dead-letter", Sdk.body(found));
            assertEquals("why", found.getDeadLetterReason());
            assertEquals("because", found.getDeadLetterErrorDescription());
            assertEquals(messages.get(3).getSequenceNumber(), found.getSequenceNumber());
            dead.complete(found);
            Sdk.assertEmpty(dead);
        }
    }

    @Test
    void settlementsModifyPropertiesSet23() {
        String queue = emulator.fresh("queue");
        ServiceBusMessage message = new ServiceBusMessage("x");
        message.getApplicationProperties().put("sent", "as sent");
        message.getApplicationProperties().put("by", "sender");
        Sdk.send(clients, queue, List.of(message));
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue);
            ServiceBusReceiverClient dead = Sdk.deadLetters(clients, queue)) {
            receiver.abandon(Sdk.receiveOne(receiver),
                new AbandonOptions().setPropertiesToModify(Map.of("by", "abandon", "count", 1)));
            ServiceBusReceivedMessage found = Sdk.receiveOne(receiver);
            assertEquals(Map.of("sent", "as sent", "by", "abandon", "count", 1), found.getApplicationProperties());
            receiver.defer(found, new DeferOptions().setPropertiesToModify(Map.of("by", "defer", "count", 2L)));
            found = receiver.receiveDeferredMessage(found.getSequenceNumber());
            assertEquals(Map.of("sent", "as sent", "by", "defer", "count", 2L), found.getApplicationProperties());
            receiver.deadLetter(found, new DeadLetterOptions().setDeadLetterReason("why")
                .setPropertiesToModify(Map.of("by", "dead-letter")));
            found = Sdk.receiveOne(dead);
            assertEquals("dead-letter", found.getApplicationProperties().get("by"));
            assertEquals("why", found.getDeadLetterReason());
            assertNull(found.getDeadLetterErrorDescription());
            dead.complete(found);
        }
    }

    @Test
    void deadLetteringNeedsNoReasonSet17() {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, "x");
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue);
            ServiceBusReceiverClient dead = Sdk.deadLetters(clients, queue)) {
            receiver.deadLetter(Sdk.receiveOne(receiver));
            ServiceBusReceivedMessage found = Sdk.receiveOne(dead);
            assertNull(found.getDeadLetterReason());
            assertNull(found.getDeadLetterErrorDescription());
            dead.complete(found);
        }
    }

    @Test
    void receiveAndDeleteTakesWhatItReceives() {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, "a", "b", "c");
        try (ServiceBusReceiverClient receiver = clients.receiver().queueName(queue)
            .receiveMode(ServiceBusReceiveMode.RECEIVE_AND_DELETE).buildClient()) {
            List<ServiceBusReceivedMessage> messages = Sdk.receive(receiver, 3);
            assertEquals(List.of("a", "b", "c"), Sdk.bodies(messages));
            assertThrows(UnsupportedOperationException.class, () -> receiver.complete(messages.get(0)));
            Sdk.assertEmpty(receiver);
        }
    }

    @Test
    void prefetchedMessagesAreHandedOutOneAfterTheOther() {
        String queue = emulator.fresh("queue");
        List<String> bodies = List.of("a", "b", "c", "d", "e", "f");
        Sdk.send(clients, queue, bodies.toArray(String[]::new));
        try (ServiceBusReceiverClient receiver = clients.receiver().queueName(queue).prefetchCount(10)
            .maxAutoLockRenewDuration(Duration.ZERO).buildClient();
            ServiceBusReceiverClient other = Sdk.receiver(clients, queue)) {
            for (String body : bodies) {
                ServiceBusReceivedMessage message = Sdk.receiveOne(receiver);
                assertEquals(body, Sdk.body(message));
                // What is prefetched is locked: nobody else gets it.
                Sdk.assertNothingComes(other);
                receiver.complete(message);
            }
            Sdk.assertEmpty(receiver);
        }
    }

    @Test
    void anEmptyQueueGivesNothingInTimeAndALateMessageComesAtOnceCrd2() {
        String queue = emulator.fresh("queue");
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue)) {
            long began = System.nanoTime();
            assertEquals(0, receiver.receiveMessages(5, Duration.ofMillis(500)).stream().count());
            Duration waited = Duration.ofNanos(System.nanoTime() - began);
            assertTrue(waited.toMillis() >= 400 && waited.toSeconds() < 10, waited.toString());
            Sdk.send(clients, queue, "late");
            began = System.nanoTime();
            receiver.complete(Sdk.receiveOne(receiver));
            assertTrue(Duration.ofNanos(System.nanoTime() - began).toSeconds() < 10);
        }
    }

    @Test
    void peekLeavesMessagesAloneAndGoesOnPek2Pek3() {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, "a", "b", "c", "d", "e");
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue)) {
            List<ServiceBusReceivedMessage> first = receiver.peekMessages(2).stream().toList();
            assertEquals(List.of("a", "b"), Sdk.bodies(first));
            assertEquals("c", Sdk.body(receiver.peekMessage()));
            assertEquals(List.of("d", "e"), Sdk.bodies(receiver.peekMessages(10).stream()));
            assertNull(receiver.peekMessage());
            assertEquals(List.of("b", "c", "d", "e"),
                Sdk.bodies(receiver.peekMessages(10, first.get(1).getSequenceNumber()).stream()));
            assertEquals("b", Sdk.body(receiver.peekMessage(first.get(1).getSequenceNumber())));
            for (ServiceBusReceivedMessage message : Sdk.receive(receiver, 5)) {
                assertEquals(0, message.getDeliveryCount());
                receiver.complete(message);
            }
            Sdk.assertEmpty(receiver);
            assertNull(receiver.peekMessage(1));
        }
    }

    @Test
    void tooManyDeliveriesAndExpiryLeadToTheDeadLetterQueue() {
        String queue = emulator.fresh("queue");
        String expiring = emulator.fresh("expiring");
        Sdk.send(clients, expiring, List.of(new ServiceBusMessage("old").setTimeToLive(Duration.ofSeconds(1))));
        Sdk.send(clients, queue, "poison");
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue);
            ServiceBusReceiverClient dead = Sdk.deadLetters(clients, queue);
            ServiceBusReceiverClient expired = Sdk.deadLetters(clients, expiring)) {
            for (int count = 0; count < 3; count++) {
                ServiceBusReceivedMessage message = Sdk.receiveOne(receiver);
                assertEquals(count, message.getDeliveryCount());
                receiver.abandon(message);
            }
            Sdk.assertNothingComes(receiver);
            ServiceBusReceivedMessage message = Sdk.receiveOne(dead);
            assertEquals("MaxDeliveryCountExceeded", message.getDeadLetterReason());
            assertEquals(3, message.getDeliveryCount());
            dead.complete(message);
            message = Sdk.receiveOne(expired);
            assertEquals("old", Sdk.body(message));
            assertEquals("TTLExpiredException", message.getDeadLetterReason());
            expired.complete(message);
        }
    }

    @Test
    void deferredMessagesAreReceivedInEveryModeAndSettledInEveryWayDef6ToDef9() {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, "a", "b", "c", "d");
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue);
            ServiceBusReceiverClient deleting = clients.receiver().queueName(queue)
                .receiveMode(ServiceBusReceiveMode.RECEIVE_AND_DELETE).buildClient();
            ServiceBusReceiverClient dead = Sdk.deadLetters(clients, queue)) {
            List<ServiceBusReceivedMessage> messages = Sdk.receive(receiver, 4);
            messages.forEach(receiver::defer);
            List<Long> numbers = messages.stream().map(ServiceBusReceivedMessage::getSequenceNumber).toList();
            Sdk.assertNothingComes(receiver);
            List<ServiceBusReceivedMessage> deferred =
                receiver.receiveDeferredMessageBatch(numbers.subList(0, 3)).stream().toList();
            assertEquals(List.of("a", "b", "c"), Sdk.bodies(deferred));
            receiver.deadLetter(deferred.get(0), new DeadLetterOptions().setDeadLetterReason("late"));
            receiver.abandon(deferred.get(1));
            receiver.defer(deferred.get(2));
            receiver.receiveDeferredMessageBatch(numbers.subList(1, 3)).stream().toList().forEach(receiver::complete);
            assertEquals("d", Sdk.body(deleting.receiveDeferredMessage(numbers.get(3))));
            Sdk.assertEmpty(receiver);
            ServiceBusReceivedMessage found = Sdk.receiveOne(dead);
            assertEquals("a", Sdk.body(found));
            assertEquals("late", found.getDeadLetterReason());
            dead.complete(found);
        }
    }
}

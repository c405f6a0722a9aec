package interop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.core.amqp.exception.AmqpException;
import com.azure.messaging.servicebus.ServiceBusClientBuilder;
import com.azure.messaging.servicebus.ServiceBusException;
import com.azure.messaging.servicebus.ServiceBusFailureReason;
import com.azure.messaging.servicebus.ServiceBusMessage;
import com.azure.messaging.servicebus.ServiceBusReceivedMessage;
import com.azure.messaging.servicebus.ServiceBusReceiverClient;
import com.azure.messaging.servicebus.ServiceBusSessionReceiverClient;
import com.azure.messaging.servicebus.models.DeadLetterOptions;
import com.azure.messaging.servicebus.models.ServiceBusReceiveMode;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Sessions: named, next available, state, renewal, and what is refused. */
class SessionsTest {
    private final Emulator emulator = Emulator.shared();
    private final ServiceBusClientBuilder clients = emulator.clients();

    /** Sends a message to each of these sessions, in this order: its body is the session and a number. */
    private void send(String queue, String... sessions) {
        List<ServiceBusMessage> messages = new ArrayList<>();
        for (String session : sessions) {
            messages.add(new ServiceBusMessage(session + " " + messages.size()).setSessionId(session));
        }
        Sdk.send(clients, queue, messages);
    }

    private ServiceBusSessionReceiverClient acceptor(ServiceBusClientBuilder clients, String queue) {
        return clients.sessionReceiver().queueName(queue).maxAutoLockRenewDuration(Duration.ZERO).buildClient();
    }

    @Test
    void aSessionGivesItsMessagesInOrderAndSettlesThem() {
        String queue = emulator.fresh("session");
        send(queue, "a", "b", "a", "b", "a", "a");
        try (ServiceBusSessionReceiverClient acceptor = acceptor(clients, queue);
            ServiceBusReceiverClient receiver = acceptor.acceptSession("a");
            // Sub-queues know no sessions (DLQ2).
            ServiceBusReceiverClient dead = Sdk.deadLetters(clients, queue)) {
            assertEquals("a", receiver.getSessionId());
            List<ServiceBusReceivedMessage> messages = Sdk.receive(receiver, 4);
            assertEquals(List.of("a 0", "a 2", "a 4", "a 5"), Sdk.bodies(messages));
            messages.forEach(message -> assertEquals("a", message.getSessionId()));
            receiver.complete(messages.get(0));
            receiver.defer(messages.get(2));
            receiver.deadLetter(messages.get(3), new DeadLetterOptions().setDeadLetterReason("why"));
            receiver.abandon(messages.get(1));
            ServiceBusReceivedMessage again = Sdk.receiveOne(receiver);
            assertEquals("a 2", Sdk.body(again));
            assertEquals(1, again.getDeliveryCount());
            receiver.complete(again);
            receiver.complete(receiver.receiveDeferredMessage(messages.get(2).getSequenceNumber()));
            Sdk.assertEmpty(receiver);

            ServiceBusReceivedMessage found = Sdk.receiveOne(dead);
            assertEquals("a 5", Sdk.body(found));
            assertEquals("a", found.getSessionId());
            assertEquals("why", found.getDeadLetterReason());
            dead.complete(found);
        }
    }

    @Test
    void theNextAvailableSessionIsOneThatNobodyHolds() {
        String queue = emulator.fresh("session");
        send(queue, "a", "b");
        try (ServiceBusSessionReceiverClient acceptor = acceptor(clients, queue);
            ServiceBusReceiverClient first = acceptor.acceptNextSession();
            ServiceBusReceiverClient second = acceptor.acceptNextSession()) {
            assertEquals("a", first.getSessionId());
            assertEquals("b", second.getSessionId());
            first.complete(Sdk.receiveOne(first));
            second.complete(Sdk.receiveOne(second));
        }
    }

    @Test
    void acceptingGivesUpWhereThereIsNoSessionAndHoldsNoneThatComesLaterSes7() {
        String queue = emulator.fresh("session");
        try (ServiceBusSessionReceiverClient acceptor =
            acceptor(emulator.clients().retryOptions(Sdk.once().setTryTimeout(Duration.ofSeconds(1))), queue)) {
            assertThrows(RuntimeException.class, acceptor::acceptNextSession);
        }
        send(queue, "a");
        try (ServiceBusSessionReceiverClient acceptor = acceptor(clients, queue);
            ServiceBusReceiverClient receiver = acceptor.acceptNextSession()) {
            assertEquals("a", receiver.getSessionId());
            receiver.complete(Sdk.receiveOne(receiver));
        }
    }

    @Test
    void aSessionThatIsHeldCannotBeLockedUntilItIsClosedSes37() {
        String queue = emulator.fresh("session");
        send(queue, "a");
        long number;
        try (ServiceBusSessionReceiverClient acceptor = acceptor(clients, queue);
            ServiceBusSessionReceiverClient other = acceptor(emulator.clients().retryOptions(Sdk.once()), queue);
            ServiceBusReceiverClient receiver = acceptor.acceptSession("a")) {
            number = Sdk.receiveOne(receiver).getSequenceNumber();
            // The SDK hands on what AMQP says here: the reason SESSION_CANNOT_BE_LOCKED is that of others.
            AmqpException error = assertThrows(AmqpException.class, () -> other.acceptSession("a"));
            assertTrue(error.getMessage().contains("session 'a' cannot be accepted"), error.getMessage());
            assertEquals("com.microsoft:session-cannot-be-locked", error.getErrorCondition().getErrorCondition());
        }
        try (ServiceBusSessionReceiverClient acceptor = acceptor(clients, queue);
            ServiceBusReceiverClient receiver = acceptor.acceptSession("a")) {
            ServiceBusReceivedMessage again = Sdk.receiveOne(receiver);
            assertEquals(number, again.getSequenceNumber());
            receiver.complete(again);
        }
    }

    @Test
    void theStateOfASessionStaysUntilItIsClearedSes17Ses20() {
        String queue = emulator.fresh("session");
        send(queue, "a");
        byte[] state = "state".getBytes(StandardCharsets.UTF_8);
        try (ServiceBusSessionReceiverClient acceptor = acceptor(clients, queue)) {
            try (ServiceBusReceiverClient receiver = acceptor.acceptSession("a")) {
                assertNull(receiver.getSessionState());
                receiver.setSessionState(state);
                assertArrayEquals(state, receiver.getSessionState());
            }
            // Not by its name: the SDK calls the link of a session so, and gives out the one that it is closing.
            try (ServiceBusReceiverClient receiver = acceptor.acceptNextSession()) {
                assertArrayEquals(state, receiver.getSessionState());
                receiver.setSessionState(null);
                assertNull(receiver.getSessionState());
                receiver.complete(Sdk.receiveOne(receiver));
            }
        }
    }

    @Test
    void renewingMovesTheEndOfTheSessionLock() {
        String queue = emulator.fresh("session");
        send(queue, "a");
        try (ServiceBusSessionReceiverClient acceptor = acceptor(clients, queue);
            ServiceBusReceiverClient receiver = acceptor.acceptSession("a")) {
            OffsetDateTime first = receiver.renewSessionLock();
            Duration left = Duration.between(OffsetDateTime.now(), first);
            assertTrue(left.toSeconds() > 50 && left.toSeconds() <= 60, left.toString());
            assertTrue(receiver.renewSessionLock().isAfter(first));
            assertThrows(IllegalStateException.class, () -> receiver.renewMessageLock(Sdk.receiveOne(receiver)));
        }
    }

    @Test
    void aSessionLockThatEndedIsLost() {
        String queue = emulator.fresh("short-session");
        send(queue, "a");
        try (ServiceBusSessionReceiverClient acceptor = acceptor(clients, queue);
            ServiceBusSessionReceiverClient other = acceptor(emulator.clients(), queue);
            ServiceBusReceiverClient receiver = acceptor.acceptSession("a")) {
            ServiceBusReceivedMessage message = Sdk.receiveOne(receiver);
            // The first one holds the session as long as its lock: then this one gets it.
            try (ServiceBusReceiverClient next = other.acceptNextSession()) {
                ServiceBusReceivedMessage stolen = Sdk.receiveOne(next);
                assertEquals(message.getSequenceNumber(), stolen.getSequenceNumber());
                assertEquals(1, stolen.getDeliveryCount());
                next.complete(stolen);
                Sdk.assertFails(ServiceBusFailureReason.SESSION_LOCK_LOST, () -> receiver.complete(message));
                Sdk.assertFails(ServiceBusFailureReason.SESSION_LOCK_LOST, receiver::getSessionState);
            }
        }
    }

    @Test
    void sessionsAreReceivedAndDeleted() {
        String queue = emulator.fresh("session");
        send(queue, "a", "a");
        try (ServiceBusSessionReceiverClient acceptor = clients.sessionReceiver().queueName(queue)
            .receiveMode(ServiceBusReceiveMode.RECEIVE_AND_DELETE).prefetchCount(10).buildClient();
            ServiceBusReceiverClient receiver = acceptor.acceptSession("a")) {
            assertEquals(List.of("a 0", "a 1"), Sdk.bodies(Sdk.receive(receiver, 2)));
            Sdk.assertEmpty(receiver);
        }
    }

    @Test
    void sessionsAndEntitiesWithoutSessionsDoNotMix() {
        String session = emulator.fresh("session");
        String queue = emulator.fresh("queue");
        ServiceBusClientBuilder once = emulator.clients().retryOptions(Sdk.once());
        ServiceBusException error = assertThrows(ServiceBusException.class, () -> Sdk.send(once, session, "x"));
        assertTrue(error.getMessage().contains("SessionId was not set"), error.getMessage());
        try (ServiceBusReceiverClient receiver = Sdk.receiver(once, session)) {
            assertThrows(RuntimeException.class, () -> Sdk.receiveOne(receiver));
        }
        try (ServiceBusSessionReceiverClient acceptor = acceptor(once, queue)) {
            assertThrows(UnsupportedOperationException.class, () -> acceptor.acceptSession("a"));
        }
    }
}

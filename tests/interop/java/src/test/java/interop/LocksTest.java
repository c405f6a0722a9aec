package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.messaging.servicebus.ServiceBusClientBuilder;
import com.azure.messaging.servicebus.ServiceBusFailureReason;
import com.azure.messaging.servicebus.ServiceBusMessage;
import com.azure.messaging.servicebus.ServiceBusReceivedMessage;
import com.azure.messaging.servicebus.ServiceBusReceiverClient;
import com.azure.messaging.servicebus.ServiceBusSessionReceiverClient;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Locks of messages and sessions: renewal by hand, in the background, and their loss. */
class LocksTest {
    private final Emulator emulator = Emulator.shared();
    private final ServiceBusClientBuilder clients = emulator.clients();

    @Test
    void renewingMovesTheEndOfAMessageLockLck2() {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, "x");
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue)) {
            ServiceBusReceivedMessage message = Sdk.receiveOne(receiver);
            OffsetDateTime before = message.getLockedUntil();
            Duration left = Duration.between(OffsetDateTime.now(), before);
            assertTrue(left.toSeconds() > 50 && left.toSeconds() <= 60, left.toString());
            OffsetDateTime renewed = receiver.renewMessageLock(message);
            assertTrue(renewed.isAfter(before), before + " and then " + renewed);
            receiver.complete(message);
            Sdk.assertEmpty(receiver);
        }
    }

    @Test
    void aLockThatEndedCannotBeSettledAndTheMessageComesAgain() {
        String queue = emulator.fresh("short");
        Sdk.send(clients, queue, "x");
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue)) {
            ServiceBusReceivedMessage message = Sdk.receiveOne(receiver);
            ServiceBusReceivedMessage again = Sdk.receiveOne(receiver);
            assertEquals(message.getSequenceNumber(), again.getSequenceNumber());
            assertNotEquals(message.getLockToken(), again.getLockToken());
            assertEquals(1, again.getDeliveryCount());
            Sdk.assertFails(ServiceBusFailureReason.MESSAGE_LOCK_LOST, () -> receiver.renewMessageLock(message));
            Sdk.assertFails(ServiceBusFailureReason.MESSAGE_LOCK_LOST, () -> receiver.complete(message));
            receiver.complete(again);
        }
    }

    @Test
    void aDeferredMessageThatIsSettledIsLockedByNobody() {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, "x");
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue)) {
            ServiceBusReceivedMessage message = Sdk.receiveOne(receiver);
            receiver.defer(message);
            ServiceBusReceivedMessage deferred = receiver.receiveDeferredMessage(message.getSequenceNumber());
            assertTrue(receiver.renewMessageLock(deferred).isAfter(OffsetDateTime.now()));
            receiver.complete(deferred);
            Sdk.assertFails(ServiceBusFailureReason.MESSAGE_LOCK_LOST, () -> receiver.renewMessageLock(deferred));
        }
    }

    @Test
    void renewalInTheBackgroundKeepsMessagesAndSessionsBeyondTheirLock() throws InterruptedException {
        String queue = emulator.fresh("short");
        String session = emulator.fresh("short-session");
        List<Throwable> errors = Collections.synchronizedList(new ArrayList<>());
        Sdk.send(clients, queue, "x");
        Sdk.send(clients, session, List.of(new ServiceBusMessage("y").setSessionId("a")));
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue);
            ServiceBusSessionReceiverClient acceptor = clients.sessionReceiver().queueName(session)
                .maxAutoLockRenewDuration(Duration.ZERO).buildClient();
            ServiceBusReceiverClient ofSession = acceptor.acceptSession("a")) {
            ServiceBusReceivedMessage message = Sdk.receiveOne(receiver);
            ServiceBusReceivedMessage inSession = Sdk.receiveOne(ofSession);
            OffsetDateTime end = OffsetDateTime.now().plusSeconds(7);
            receiver.renewMessageLock(message, Duration.ofMinutes(1), errors::add);
            ofSession.renewSessionLock(Duration.ofMinutes(1), errors::add);
            Sdk.passes(end);
            receiver.complete(message);
            ofSession.complete(inSession);
            assertEquals(List.of(), errors);
            Sdk.assertEmpty(receiver);
            Sdk.assertEmpty(ofSession);
        }
    }

    @Test
    void sessionsAreRenewedOnTheirOwn() throws InterruptedException {
        String session = emulator.fresh("short-session");
        Sdk.send(clients, session, List.of(new ServiceBusMessage("y").setSessionId("a")));
        try (ServiceBusSessionReceiverClient acceptor = clients.sessionReceiver().queueName(session)
                .maxAutoLockRenewDuration(Duration.ofMinutes(1)).buildClient();
            ServiceBusReceiverClient receiver = acceptor.acceptSession("a")) {
            ServiceBusReceivedMessage message = Sdk.receiveOne(receiver);
            Sdk.passes(OffsetDateTime.now().plusSeconds(7));
            receiver.complete(message);
            Sdk.assertEmpty(receiver);
        }
    }
}

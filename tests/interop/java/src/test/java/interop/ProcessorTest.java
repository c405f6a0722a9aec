package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.messaging.servicebus.ServiceBusClientBuilder;
import com.azure.messaging.servicebus.ServiceBusErrorContext;
import com.azure.messaging.servicebus.ServiceBusErrorSource;
import com.azure.messaging.servicebus.ServiceBusException;
import com.azure.messaging.servicebus.ServiceBusMessage;
import com.azure.messaging.servicebus.ServiceBusProcessorClient;
import com.azure.messaging.servicebus.ServiceBusReceivedMessage;
import com.azure.messaging.servicebus.ServiceBusReceiverClient;
import com.azure.messaging.servicebus.models.DeadLetterOptions;
import com.azure.messaging.servicebus.models.ServiceBusReceiveMode;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** Processors: concurrency, settlement, errors, renewal, sessions. */
class ProcessorTest {
    private final Emulator emulator = Emulator.shared();
    private final ServiceBusClientBuilder clients = emulator.clients();
    private final BlockingQueue<String> handled = new LinkedBlockingQueue<>();
    private final BlockingQueue<ServiceBusErrorContext> errors = new LinkedBlockingQueue<>();

    private static <T> T next(BlockingQueue<T> queue) throws InterruptedException {
        T next = queue.poll(Sdk.PATIENCE.toSeconds(), TimeUnit.SECONDS);
        assertNotNull(next, "nothing came");
        return next;
    }

    /** Nothing is left of the queue, once the processor is gone. */
    private void assertEmpty(String queue) {
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue)) {
            Sdk.assertEmpty(receiver);
        }
    }

    @Test
    void messagesAreHandledSeveralAtATimeAndCompleted() throws InterruptedException {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, "a", "b", "c", "d", "e", "f", "g", "h");
        CyclicBarrier together = new CyclicBarrier(4);
        try (ServiceBusProcessorClient processor = clients.processor().queueName(queue).maxConcurrentCalls(4)
            .processMessage(context -> {
                try {
                    // Nobody goes on before four are here.
                    together.await(20, TimeUnit.SECONDS);
                } catch (Exception error) {
                    throw new IllegalStateException(error);
                }
                handled.add(Sdk.body(context.getMessage()));
            }).processError(errors::add).buildProcessorClient()) {
            assertFalse(processor.isRunning());
            processor.start();
            assertTrue(processor.isRunning());
            List<String> bodies = new ArrayList<>();
            while (bodies.size() < 8) {
                bodies.add(next(handled));
            }
            assertEquals(List.of("a", "b", "c", "d", "e", "f", "g", "h"), bodies.stream().sorted().toList());
            // What is handled is completed a moment later.
            try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue)) {
                long end = System.nanoTime() + Sdk.PATIENCE.toNanos();
                while (receiver.peekMessages(10, 1).stream().count() > 0) {
                    assertTrue(System.nanoTime() < end, "messages are left");
                }
            }
            processor.stop();
            assertFalse(processor.isRunning());
        }
        assertEquals(0, errors.size());
    }

    @Test
    void aMessageWhoseHandlerFailsIsAbandonedAndTheErrorTold() throws InterruptedException {
        String queue = emulator.fresh("queue");
        CountDownLatch second = new CountDownLatch(1);
        Sdk.send(clients, queue, "x");
        try (ServiceBusProcessorClient processor = clients.processor().queueName(queue).processMessage(context -> {
            if (context.getMessage().getDeliveryCount() == 0) {
                throw new IllegalStateException("on purpose");
            }
            second.countDown();
        }).processError(errors::add).buildProcessorClient()) {
            processor.start();
            ServiceBusErrorContext error = next(errors);
            assertEquals(ServiceBusErrorSource.USER_CALLBACK, error.getErrorSource());
            assertEquals(queue, error.getEntityPath());
            assertEquals("on purpose", error.getException().getCause().getMessage());
            assertTrue(second.await(20, TimeUnit.SECONDS));
        }
    }

    @Test
    void handlersSettleThemselves() throws InterruptedException {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, "complete", "abandon", "defer", "dead-letter");
        CopyOnWriteArrayList<Long> deferred = new CopyOnWriteArrayList<>();
        try (ServiceBusProcessorClient processor = clients.processor().queueName(queue).disableAutoComplete()
            .processMessage(context -> {
                ServiceBusReceivedMessage message = context.getMessage();
                switch (Sdk.body(message)) {
                    case "abandon" -> {
                        if (message.getDeliveryCount() == 0) {
                            context.abandon();
                        } else {
                            context.complete();
                        }
                    }
                    case "defer" -> {
                        deferred.add(message.getSequenceNumber());
                        context.defer();
                    }
                    case "dead-letter" -> context.deadLetter(new DeadLetterOptions().setDeadLetterReason("why"));
                    default -> context.complete();
                }
                handled.add(Sdk.body(message) + " " + message.getDeliveryCount());
            }).processError(errors::add).buildProcessorClient()) {
            processor.start();
            List<String> bodies = new ArrayList<>();
            while (bodies.size() < 5) {
                bodies.add(next(handled));
            }
            assertEquals(List.of("abandon 0", "abandon 1", "complete 0", "dead-letter 0", "defer 0"),
                bodies.stream().sorted().toList());
        }
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue);
            ServiceBusReceiverClient dead = Sdk.deadLetters(clients, queue)) {
            receiver.complete(receiver.receiveDeferredMessage(deferred.get(0)));
            Sdk.assertEmpty(receiver);
            ServiceBusReceivedMessage found = Sdk.receiveOne(dead);
            assertEquals("why", found.getDeadLetterReason());
            dead.complete(found);
        }
        assertEquals(0, errors.size());
    }

    @Test
    void aHandlerThatTakesLongerThanTheLockKeepsItsMessage() throws InterruptedException {
        String queue = emulator.fresh("short");
        Sdk.send(clients, queue, "x");
        try (ServiceBusProcessorClient processor = clients.processor().queueName(queue).disableAutoComplete()
            .maxAutoLockRenewDuration(Duration.ofMinutes(1)).processMessage(context -> {
                try {
                    Sdk.passes(OffsetDateTime.now().plusSeconds(7));
                } catch (InterruptedException error) {
                    throw new IllegalStateException(error);
                }
                context.complete();
                handled.add(String.valueOf(context.getMessage().getDeliveryCount()));
            }).processError(errors::add).buildProcessorClient()) {
            processor.start();
            assertEquals("0", next(handled));
        }
        assertEquals(0, errors.size());
        assertEmpty(queue);
    }

    @Test
    void messagesAreReceivedAndDeletedAheadOfTheirHandlers() throws InterruptedException {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, "a", "b", "c");
        try (ServiceBusProcessorClient processor = clients.processor().queueName(queue).prefetchCount(10)
            .receiveMode(ServiceBusReceiveMode.RECEIVE_AND_DELETE)
            .processMessage(context -> handled.add(Sdk.body(context.getMessage())))
            .processError(errors::add).buildProcessorClient()) {
            processor.start();
            assertEquals(List.of("a", "b", "c"), List.of(next(handled), next(handled), next(handled)));
        }
        assertEmpty(queue);
    }

    @Test
    void aStoppedProcessorStartsAgain() throws InterruptedException {
        // A link that is being closed may still take a message: its lock is a short one.
        String queue = emulator.fresh("short");
        try (ServiceBusProcessorClient processor = clients.processor().queueName(queue)
            .processMessage(context -> handled.add(Sdk.body(context.getMessage())))
            .processError(errors::add).buildProcessorClient()) {
            for (String body : List.of("first", "second")) {
                processor.start();
                Sdk.send(clients, queue, body);
                assertEquals(body, next(handled));
                processor.stop();
            }
        }
    }

    @Test
    void anErrorOfTheServiceIsTold() throws InterruptedException {
        try (ServiceBusProcessorClient processor = clients.processor().queueName("nowhere")
            .processMessage(context -> handled.add(Sdk.body(context.getMessage())))
            .processError(errors::add).buildProcessorClient()) {
            processor.start();
            ServiceBusErrorContext error = next(errors);
            assertEquals("nowhere", error.getEntityPath());
            assertInstanceOf(ServiceBusException.class, error.getException());
            assertEquals(ServiceBusErrorSource.RECEIVE, error.getErrorSource());
        }
        assertEquals(0, handled.size());
    }

    @Test
    void sessionsAreHandledSideBySideEachInOrder() throws InterruptedException {
        String queue = emulator.fresh("session");
        List<ServiceBusMessage> messages = new ArrayList<>();
        for (int number = 0; number < 30; number++) {
            messages.add(new ServiceBusMessage(String.valueOf(number)).setSessionId("session-" + number % 5));
        }
        Sdk.send(clients, queue, messages);
        Map<String, List<Integer>> order = new ConcurrentHashMap<>();
        try (ServiceBusProcessorClient processor = clients.sessionProcessor().queueName(queue)
            .maxConcurrentSessions(3).maxConcurrentCalls(1).sessionIdleTimeout(Duration.ofMillis(500))
            .processMessage(context -> {
                ServiceBusReceivedMessage message = context.getMessage();
                order.computeIfAbsent(message.getSessionId(), ignored -> new CopyOnWriteArrayList<>())
                    .add(Integer.valueOf(Sdk.body(message)));
                handled.add(Sdk.body(message));
            }).processError(errors::add).buildProcessorClient()) {
            processor.start();
            for (int count = 0; count < 30; count++) {
                next(handled);
            }
        }
        assertEquals(5, order.size());
        order.forEach((session, numbers) -> {
            assertEquals(numbers.stream().sorted().toList(), numbers, session);
            assertEquals(6, numbers.size(), session);
        });
    }
}

package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import com.azure.core.amqp.AmqpRetryOptions;
import com.azure.messaging.servicebus.ServiceBusClientBuilder;
import com.azure.messaging.servicebus.ServiceBusMessage;
import com.azure.messaging.servicebus.ServiceBusProcessorClient;
import com.azure.messaging.servicebus.ServiceBusReceivedMessage;
import com.azure.messaging.servicebus.ServiceBusReceiverClient;
import com.azure.messaging.servicebus.ServiceBusSenderClient;
import com.azure.messaging.servicebus.ServiceBusSessionReceiverClient;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * What the emulator counts of a healthy conversation, and what becomes of clients when it closes their connections. Each
 * test has an emulator of its own.
 */
class HealthTest {
    private final Emulator emulator = new Emulator();
    // A send that the SDK takes while its connection is being torn down is left alone until the try's end, a minute unless
    // it is told otherwise.
    private final ServiceBusClientBuilder clients =
        emulator.clients().retryOptions(new AmqpRetryOptions().setTryTimeout(Duration.ofSeconds(5)));

    @AfterEach
    void stop() {
        emulator.close();
    }

    @Test
    void manyMessagesAreReceivedAndCompletedOverOneConnection() {
        String queue = emulator.fresh("queue");
        int count = 300;
        try (ServiceBusSenderClient sender = clients.sender().queueName(queue).buildClient();
            ServiceBusReceiverClient receiver = clients.receiver().queueName(queue).prefetchCount(100)
                .maxAutoLockRenewDuration(Duration.ZERO).buildClient()) {
            List<String> bodies = IntStream.range(0, count).mapToObj(String::valueOf).toList();
            sender.sendMessages(bodies.stream().map(ServiceBusMessage::new).toList());
            List<String> found = new ArrayList<>();
            while (found.size() < count) {
                for (ServiceBusReceivedMessage message : Sdk.receive(receiver, 50)) {
                    found.add(Sdk.body(message));
                    receiver.complete(message);
                }
            }
            assertEquals(bodies, found);
        }
        Map<String, Long> counted = emulator.counted();
        assertEquals(1, counted.get("connections-accepted"));
        assertEquals(count, counted.get("messages-sent"));
        assertEquals(count, counted.get("messages-delivered"));
        assertEquals(count, counted.get("settled-on-links"));
        assertEquals(0, counted.get("settled-by-management"));
        assertEquals(0, counted.get("tokens-refused"));
    }

    @Test
    void aSenderAndAReceiverGoOnAfterTheirConnectionWasClosed() {
        String queue = emulator.fresh("queue");
        try (ServiceBusSenderClient sender = clients.sender().queueName(queue).buildClient();
            ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue)) {
            for (String body : List.of("first", "second", "third")) {
                emulator.closeConnections();
                sender.sendMessage(new ServiceBusMessage(body));
                ServiceBusReceivedMessage message = Sdk.receiveOne(receiver);
                assertEquals(body, Sdk.body(message));
                receiver.complete(message);
            }
            Sdk.assertEmpty(receiver);
        }
        assertEquals(3, emulator.counted().get("connections-accepted"));
    }

    @Test
    void aProcessorGoesOnAfterItsConnectionWasClosed() throws InterruptedException {
        String queue = emulator.fresh("queue");
        BlockingQueue<String> handled = new LinkedBlockingQueue<>();
        try (ServiceBusProcessorClient processor = clients.processor().queueName(queue)
            .processMessage(context -> handled.add(Sdk.body(context.getMessage())))
            .processError(context -> { }).buildProcessorClient()) {
            processor.start();
            for (String body : List.of("first", "second")) {
                Sdk.send(emulator.clients(), queue, body);
                String found = handled.poll(40, TimeUnit.SECONDS);
                assertNotNull(found, "nothing came");
                assertEquals(body, found);
                emulator.closeConnections();
            }
        }
    }

    @Test
    void aSessionIsAcceptedAgainAfterItsConnectionWasClosed() {
        String queue = emulator.fresh("session");
        try (ServiceBusSessionReceiverClient acceptor = clients.sessionReceiver().queueName(queue).buildClient()) {
            for (String body : List.of("first", "second")) {
                Sdk.send(emulator.clients(), queue, List.of(new ServiceBusMessage(body).setSessionId("a")));
                try (ServiceBusReceiverClient receiver = acceptor.acceptSession("a")) {
                    ServiceBusReceivedMessage message = Sdk.receiveOne(receiver);
                    assertEquals(body, Sdk.body(message));
                    receiver.complete(message);
                    emulator.closeConnections();
                }
            }
        }
    }
}

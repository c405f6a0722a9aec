package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.core.amqp.AmqpRetryOptions;
import com.azure.messaging.servicebus.ServiceBusClientBuilder;
import com.azure.messaging.servicebus.ServiceBusException;
import com.azure.messaging.servicebus.ServiceBusFailureReason;
import com.azure.messaging.servicebus.ServiceBusMessage;
import com.azure.messaging.servicebus.ServiceBusReceivedMessage;
import com.azure.messaging.servicebus.ServiceBusReceiverClient;
import com.azure.messaging.servicebus.ServiceBusSenderClient;
import com.azure.messaging.servicebus.models.ServiceBusReceiveMode;
import com.azure.messaging.servicebus.models.SubQueue;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.function.Executable;

/** What tests ask of the SDK again and again. */
final class Sdk {
    /** What is there comes at once; more than this is a failure. */
    static final Duration PATIENCE = Duration.ofSeconds(20);
    /** How long something is waited for that is not to come. */
    static final Duration BRIEFLY = Duration.ofMillis(300);

    private Sdk() {
    }

    /** Calls fail at once instead of being tried again. */
    static AmqpRetryOptions once() {
        return new AmqpRetryOptions().setMaxRetries(0).setTryTimeout(Duration.ofSeconds(3));
    }

    static void send(ServiceBusClientBuilder clients, String queue, String... bodies) {
        send(clients, queue, Arrays.stream(bodies).map(ServiceBusMessage::new).toList());
    }

    static void send(ServiceBusClientBuilder clients, String queue, List<ServiceBusMessage> messages) {
        try (ServiceBusSenderClient sender = clients.sender().queueName(queue).buildClient()) {
            sender.sendMessages(messages);
        }
    }

    /** A receiver that renews nothing on its own. */
    static ServiceBusReceiverClient receiver(ServiceBusClientBuilder clients, String queue) {
        return clients.receiver().queueName(queue).maxAutoLockRenewDuration(Duration.ZERO).buildClient();
    }

    static ServiceBusReceiverClient deadLetters(ServiceBusClientBuilder clients, String queue) {
        return clients.receiver().queueName(queue).subQueue(SubQueue.DEAD_LETTER_QUEUE)
            .maxAutoLockRenewDuration(Duration.ZERO).buildClient();
    }

    /** So many messages, locked by the receiver or deleted as its mode is. */
    static List<ServiceBusReceivedMessage> receive(ServiceBusReceiverClient receiver, int count) {
        List<ServiceBusReceivedMessage> messages = new ArrayList<>();
        while (messages.size() < count) {
            int before = messages.size();
            receiver.receiveMessages(count - before, PATIENCE).forEach(messages::add);
            assertTrue(messages.size() > before, before + " of " + count + " messages came");
        }
        return messages;
    }

    static ServiceBusReceivedMessage receiveOne(ServiceBusReceiverClient receiver) {
        return receive(receiver, 1).get(0);
    }

    /** So many messages of a queue, deleted as they are received. */
    static List<ServiceBusReceivedMessage> take(ServiceBusClientBuilder clients, String queue, int count) {
        try (ServiceBusReceiverClient receiver = clients.receiver().queueName(queue)
            .receiveMode(ServiceBusReceiveMode.RECEIVE_AND_DELETE).buildClient()) {
            return receive(receiver, count);
        }
    }

    static void assertNothingComes(ServiceBusReceiverClient receiver) {
        assertEquals(List.of(), bodies(receiver.receiveMessages(1, BRIEFLY).stream()));
    }

    static void assertEmpty(ServiceBusReceiverClient receiver) {
        assertEquals(List.of(), bodies(receiver.peekMessages(100, 1).stream()));
    }

    static List<String> bodies(List<ServiceBusReceivedMessage> messages) {
        return bodies(messages.stream());
    }

    static List<String> bodies(Stream<ServiceBusReceivedMessage> messages) {
        return messages.map(Sdk::body).toList();
    }

    static String body(ServiceBusReceivedMessage message) {
        return message.getBody().toString();
    }

    /** What is called fails for this reason. */
    static ServiceBusException assertFails(ServiceBusFailureReason reason, Executable call) {
        ServiceBusException error = assertThrows(ServiceBusException.class, call);
        assertEquals(reason, error.getReason(), error.toString());
        return error;
    }

    /** Returns when this moment has passed. */
    static void passes(OffsetDateTime moment) throws InterruptedException {
        Duration left = Duration.between(OffsetDateTime.now(), moment);
        if (!left.isNegative()) {
            Thread.sleep(left.toMillis() + 1);
        }
    }
}

package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.messaging.servicebus.ServiceBusClientBuilder;
import com.azure.messaging.servicebus.ServiceBusException;
import com.azure.messaging.servicebus.ServiceBusFailureReason;
import com.azure.messaging.servicebus.ServiceBusReceiverClient;
import com.azure.messaging.servicebus.ServiceBusSenderClient;
import com.azure.messaging.servicebus.administration.ServiceBusAdministrationClient;
import com.azure.messaging.servicebus.administration.models.CreateQueueOptions;
import com.azure.messaging.servicebus.administration.models.EntityStatus;
import java.util.List;
import java.util.NoSuchElementException;
import org.junit.jupiter.api.Test;

/** What is refused, and the reasons that the SDK gives. */
class ErrorsTest {
    private final Emulator emulator = Emulator.shared();
    private final ServiceBusClientBuilder once = emulator.clients().retryOptions(Sdk.once());

    private ServiceBusClientBuilder withKey(String name, String key) {
        return new ServiceBusClientBuilder().connectionString(emulator.withKey(name, key)).retryOptions(Sdk.once());
    }

    @Test
    void anUnknownQueueIsNotFound() {
        Sdk.assertFails(ServiceBusFailureReason.MESSAGING_ENTITY_NOT_FOUND, () -> Sdk.send(once, "nowhere", "x"));
        try (ServiceBusReceiverClient receiver = Sdk.receiver(once, "nowhere")) {
            Sdk.assertFails(ServiceBusFailureReason.MESSAGING_ENTITY_NOT_FOUND, receiver::peekMessage);
        }
    }

    @Test
    void anUnknownSubscriptionIsNotFound() {
        String topic = emulator.fresh("topic");
        try (ServiceBusReceiverClient receiver =
            once.receiver().topicName(topic).subscriptionName("nowhere").buildClient()) {
            Sdk.assertFails(ServiceBusFailureReason.MESSAGING_ENTITY_NOT_FOUND, receiver::peekMessage);
        }
    }

    @Test
    void aWrongKeyAndAWrongNameAreUnauthorized() {
        String queue = emulator.fresh("queue");
        Sdk.assertFails(ServiceBusFailureReason.UNAUTHORIZED,
            () -> Sdk.send(withKey("RootManageSharedAccessKey", "d3Jvbmc="), queue, "x"));
        Sdk.assertFails(ServiceBusFailureReason.UNAUTHORIZED,
            () -> Sdk.send(withKey("nobody", "SAS_KEY_VALUE"), queue, "x"));
    }

    @Test
    void aKeyWithoutTheRightIsUnauthorized() {
        String queue = emulator.fresh("queue");
        Sdk.send(withKey("sender", "c2VuZGVy"), queue, "x");
        ServiceBusException error = Sdk.assertFails(ServiceBusFailureReason.UNAUTHORIZED,
            () -> Sdk.send(withKey("listener", "bGlzdGVuZXI="), queue, "y"));
        assertTrue(error.getMessage().contains("'Send' claim"), error.getMessage());
        assertFalse(error.isTransient());
        assertEquals(List.of("x"), Sdk.bodies(Sdk.take(withKey("listener", "bGlzdGVuZXI="), queue, 1)));
    }

    @Test
    void aDisabledQueueIsDisabled() {
        String queue = "disabled-" + System.nanoTime();
        ServiceBusAdministrationClient administrator =
            emulator.administrators("http").connectionString(emulator.administration()).buildClient();
        administrator.createQueue(queue, new CreateQueueOptions().setStatus(EntityStatus.SEND_DISABLED));
        Sdk.assertFails(ServiceBusFailureReason.MESSAGING_ENTITY_DISABLED, () -> Sdk.send(once, queue, "x"));
    }

    @Test
    void numbersThatAreNotThereAreNotFound() {
        String queue = emulator.fresh("queue");
        try (ServiceBusReceiverClient receiver = Sdk.receiver(once, queue);
            ServiceBusSenderClient sender = once.sender().queueName(queue).buildClient()) {
            // The SDK takes the refusal for a result without messages: only where one is expected it is an error.
            sender.cancelScheduledMessage(4711);
            assertEquals(0, receiver.receiveDeferredMessageBatch(List.of(4711L)).stream().count());
            ServiceBusException error =
                assertThrows(ServiceBusException.class, () -> receiver.receiveDeferredMessage(4711));
            assertInstanceOf(NoSuchElementException.class, error.getCause());
        }
    }

    @Test
    void whereNobodyListensTheCallFails() {
        ServiceBusClientBuilder nobody = new ServiceBusClientBuilder().retryOptions(Sdk.once()).connectionString(
            "Endpoint=sb://localhost:1;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true");
        // It tries as long as a try lasts, and then tells of that alone.
        assertThrows(RuntimeException.class, () -> Sdk.send(nobody, "queue", "x"));
    }
}

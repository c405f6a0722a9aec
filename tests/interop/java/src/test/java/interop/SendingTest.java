package interop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.core.amqp.models.AmqpMessageBody;
import com.azure.core.amqp.models.AmqpMessageBodyType;
import com.azure.messaging.servicebus.ServiceBusClientBuilder;
import com.azure.messaging.servicebus.ServiceBusFailureReason;
import com.azure.messaging.servicebus.ServiceBusMessage;
import com.azure.messaging.servicebus.ServiceBusMessageBatch;
import com.azure.messaging.servicebus.ServiceBusReceivedMessage;
import com.azure.messaging.servicebus.ServiceBusReceiverClient;
import com.azure.messaging.servicebus.ServiceBusSenderClient;
import com.azure.messaging.servicebus.models.CreateMessageBatchOptions;
import com.azure.messaging.servicebus.models.ServiceBusMessageState;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.junit.jupiter.api.Test;

/** Sending: one, lists, batches, every property, sizes, schedules. */
class SendingTest {
    private final Emulator emulator = Emulator.shared();
    private final ServiceBusClientBuilder clients = emulator.clients();

    private ServiceBusSenderClient sender(String queue) {
        return clients.sender().queueName(queue).buildClient();
    }

    /** What becomes of a message on its way. */
    private ServiceBusReceivedMessage carried(ServiceBusMessage message) {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, List.of(message));
        return Sdk.take(clients, queue, 1).get(0);
    }

    @Test
    void oneAListAndABatchComeBackInOrder() {
        String queue = emulator.fresh("queue");
        try (ServiceBusSenderClient sender = sender(queue)) {
            sender.sendMessage(new ServiceBusMessage("one"));
            sender.sendMessages(List.of(new ServiceBusMessage("two"), new ServiceBusMessage("three")));
            ServiceBusMessageBatch batch = sender.createMessageBatch();
            for (String body : List.of("four", "five", "six")) {
                assertTrue(batch.tryAddMessage(new ServiceBusMessage(body)));
            }
            sender.sendMessages(batch);
            sender.sendMessages(List.of());
            assertEquals(queue, sender.getEntityPath());
        }
        assertEquals(List.of("one", "two", "three", "four", "five", "six"), Sdk.bodies(Sdk.take(clients, queue, 6)));
    }

    @Test
    void aBatchIsFullAtTheLimitOfTheLinkAndIsAccepted() {
        String queue = emulator.fresh("queue");
        int count = 0;
        try (ServiceBusSenderClient sender = sender(queue)) {
            ServiceBusMessageBatch batch = sender.createMessageBatch();
            assertEquals(262_144, batch.getMaxSizeInBytes());
            while (batch.tryAddMessage(new ServiceBusMessage(new byte[10_000]))) {
                count++;
            }
            assertTrue(count >= 25, count + " messages fit");
            assertEquals(count, batch.getCount());
            sender.sendMessages(batch);

            ServiceBusMessageBatch small =
                sender.createMessageBatch(new CreateMessageBatchOptions().setMaximumSizeInBytes(500));
            assertTrue(small.tryAddMessage(new ServiceBusMessage(new byte[300])));
            assertFalse(small.tryAddMessage(new ServiceBusMessage(new byte[300])));
        }
        assertEquals(count, Sdk.take(clients, queue, count).size());
    }

    @Test
    void whatIsTooLargeIsRefused() {
        String queue = emulator.fresh("queue");
        try (ServiceBusSenderClient sender = sender(queue)) {
            ServiceBusMessage large = new ServiceBusMessage(new byte[300_000]);
            Sdk.assertFails(ServiceBusFailureReason.MESSAGE_SIZE_EXCEEDED, () -> sender.sendMessage(large));
            // The SDK makes as many batches of a list as it takes, of messages that fit one.
            Sdk.assertFails(ServiceBusFailureReason.MESSAGE_SIZE_EXCEEDED, () -> sender.sendMessages(List.of(large)));
            ServiceBusMessage fits = new ServiceBusMessage(new byte[200_000]);
            sender.sendMessages(List.of(fits, new ServiceBusMessage(new byte[200_000])));
        }
        assertEquals(2, Sdk.take(clients, queue, 2).size());
    }

    @Test
    void everyFieldComesBack() {
        ServiceBusMessage message = new ServiceBusMessage(new byte[] {0, -1, 65})
            .setMessageId("id").setSessionId("session").setPartitionKey("session").setCorrelationId("correlation")
            .setSubject("subject").setTo("to").setReplyTo("reply").setReplyToSessionId("reply-session")
            .setContentType("text/plain").setTimeToLive(Duration.ofMinutes(5));
        ServiceBusReceivedMessage found = carried(message);
        assertArrayEquals(new byte[] {0, -1, 65}, found.getBody().toBytes());
        assertEquals("id", found.getMessageId());
        assertEquals("session", found.getSessionId());
        assertEquals("session", found.getPartitionKey());
        assertEquals("correlation", found.getCorrelationId());
        assertEquals("subject", found.getSubject());
        assertEquals("to", found.getTo());
        assertEquals("reply", found.getReplyTo());
        assertEquals("reply-session", found.getReplyToSessionId());
        assertEquals("text/plain", found.getContentType());
        assertEquals(Duration.ofMinutes(5), found.getTimeToLive());
        assertEquals(found.getEnqueuedTime().plusMinutes(5), found.getExpiresAt());
        assertEquals(0, found.getDeliveryCount());
        assertTrue(found.getSequenceNumber() > 0);
        assertEquals(ServiceBusMessageState.ACTIVE, found.getState());
        Duration age = Duration.between(found.getEnqueuedTime(), OffsetDateTime.now());
        assertTrue(!age.isNegative() && age.compareTo(Duration.ofSeconds(30)) < 0, age.toString());
    }

    @Test
    void aMessageWithoutFieldsHasNone() {
        ServiceBusReceivedMessage found = carried(new ServiceBusMessage("x"));
        assertEquals(Map.of(), found.getApplicationProperties());
        assertNull(found.getSessionId());
        assertNull(found.getPartitionKey());
        assertNull(found.getCorrelationId());
        assertNull(found.getSubject());
        assertNull(found.getTo());
        assertNull(found.getReplyTo());
        assertNull(found.getContentType());
        assertNull(found.getScheduledEnqueueTime());
        assertNull(found.getDeadLetterReason());
        assertNull(found.getDeadLetterErrorDescription());
        assertNull(found.getDeadLetterSource());
    }

    @Test
    void everyTypeOfApplicationPropertyComesBackSnd25() {
        Map<String, Object> properties = new HashMap<>();
        properties.put("null", null);
        properties.put("boolean", true);
        properties.put("byte", (byte) -100);
        properties.put("short", (short) -30_000);
        properties.put("int", -2_000_000_000);
        properties.put("long", Long.MIN_VALUE);
        properties.put("float", 21.5f);
        properties.put("double", 1.0 / 3);
        properties.put("char", 'ä');
        properties.put("string", "täxt");
        properties.put("empty", "");
        properties.put("uuid", UUID.fromString("00112233-4455-6677-8899-aabbccddeeff"));
        properties.put("moment", OffsetDateTime.of(2020, 2, 3, 4, 5, 6, 0, ZoneOffset.UTC));
        properties.put("duration", Duration.ofMillis(-90_061_001));
        properties.put("uri", URI.create("https://example.com/a?b=c"));
        ServiceBusMessage message = new ServiceBusMessage("x");
        message.getApplicationProperties().putAll(properties);
        assertEquals(properties, carried(message).getApplicationProperties());
    }

    @Test
    void everyKindOfBodyComesBackWithTheOtherSectionsSnd32Snd33Snd35Snd40() {
        OffsetDateTime when = OffsetDateTime.of(2030, 2, 3, 4, 5, 6, 0, ZoneOffset.UTC);
        for (AmqpMessageBody body : List.of(
            AmqpMessageBody.fromData("data".getBytes(StandardCharsets.UTF_8)),
            AmqpMessageBody.fromSequence(List.of("A1", 1L, 2)),
            AmqpMessageBody.fromValue(6L),
            AmqpMessageBody.fromValue(Map.of("a", List.of(1, true, "x"))))) {
            ServiceBusMessage message = new ServiceBusMessage(body);
            var raw = message.getRawAmqpMessage();
            raw.getHeader().setDurable(true).setPriority((short) 7).setFirstAcquirer(true);
            raw.getProperties().setUserId(new byte[] {1, -1}).setGroupSequence(3L).setContentEncoding("utf-8")
                .setCreationTime(when);
            // The SDK sends no message annotations but those it knows.
            raw.getDeliveryAnnotations().put("own", "delivery");
            raw.getFooter().put("foot", "note");

            var found = carried(message).getRawAmqpMessage();
            assertEquals(body.getBodyType(), found.getBody().getBodyType());
            if (body.getBodyType() == AmqpMessageBodyType.DATA) {
                assertArrayEquals(body.getFirstData(), found.getBody().getFirstData());
            } else if (body.getBodyType() == AmqpMessageBodyType.SEQUENCE) {
                assertEquals(body.getSequence(), found.getBody().getSequence());
            } else {
                assertEquals(body.getValue(), found.getBody().getValue());
            }
            assertEquals(true, found.getHeader().isDurable());
            assertEquals(true, found.getHeader().isFirstAcquirer());
            assertEquals((short) 7, found.getHeader().getPriority());
            assertArrayEquals(new byte[] {1, -1}, found.getProperties().getUserId());
            assertEquals(3L, found.getProperties().getGroupSequence());
            assertEquals("utf-8", found.getProperties().getContentEncoding());
            assertEquals(when, found.getProperties().getCreationTime());
            assertEquals("delivery", found.getDeliveryAnnotations().get("own"));
            assertEquals(Map.of("foot", "note"), found.getFooter());
        }
    }

    @Test
    void aReceivedMessageIsSentAgainWithItsFields() {
        ServiceBusMessage message = new ServiceBusMessage("again").setMessageId("id").setSubject("subject");
        message.getApplicationProperties().put("key", 1);
        ServiceBusReceivedMessage found = carried(new ServiceBusMessage(carried(message)));
        assertEquals("again", Sdk.body(found));
        assertEquals("id", found.getMessageId());
        assertEquals("subject", found.getSubject());
        assertEquals(Map.of("key", 1), found.getApplicationProperties());
    }

    @Test
    void largeMessagesCrossInManyFrames() {
        String queue = emulator.fresh("large");
        byte[] body = new byte[3 << 20];
        for (int index = 0; index < body.length; index++) {
            body[index] = (byte) (index * 31);
        }
        Sdk.send(clients, queue, List.of(new ServiceBusMessage(body)));
        assertArrayEquals(body, Sdk.take(clients, queue, 1).get(0).getBody().toBytes());
    }

    @Test
    void aRepeatedMessageIdIsAcceptedAndDropped() {
        String queue = emulator.fresh("unique");
        try (ServiceBusSenderClient sender = sender(queue)) {
            sender.sendMessage(new ServiceBusMessage("first").setMessageId("same"));
            sender.sendMessage(new ServiceBusMessage("again").setMessageId("same"));
            sender.sendMessage(new ServiceBusMessage("other").setMessageId("other"));
        }
        assertEquals(List.of("first", "other"), Sdk.bodies(Sdk.take(clients, queue, 2)));
    }

    @Test
    void scheduledMessagesComeAtTheirTimeAndCanBeCancelledSch12() {
        String queue = emulator.fresh("queue");
        OffsetDateTime soon = OffsetDateTime.now(ZoneOffset.UTC).plusSeconds(2);
        OffsetDateTime later = soon.plusHours(10);
        try (ServiceBusSenderClient sender = sender(queue);
            ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue)) {
            long soonNumber = sender.scheduleMessage(new ServiceBusMessage("soon"), soon);
            List<Long> numbers = new ArrayList<>();
            sender.scheduleMessages(
                List.of(new ServiceBusMessage("a"), new ServiceBusMessage("b"), new ServiceBusMessage("c")), later)
                .forEach(numbers::add);
            assertEquals(3, numbers.size());
            assertTrue(0 < soonNumber && soonNumber < numbers.get(0));
            sender.sendMessage(new ServiceBusMessage("plain").setScheduledEnqueueTime(later));

            List<ServiceBusReceivedMessage> peeked = receiver.peekMessages(10, numbers.get(0)).stream().toList();
            assertEquals(List.of("a", "b", "c", "plain"), Sdk.bodies(peeked));
            for (ServiceBusReceivedMessage message : peeked) {
                assertEquals(ServiceBusMessageState.SCHEDULED, message.getState());
                assertTrue(Duration.between(later, message.getScheduledEnqueueTime()).abs().toMillis() < 1000);
            }
            sender.cancelScheduledMessage(numbers.get(0));
            sender.cancelScheduledMessages(numbers.subList(1, 3));
            assertEquals(List.of("plain"), Sdk.bodies(receiver.peekMessages(10, numbers.get(0)).stream()));

            ServiceBusReceivedMessage found = Sdk.receiveOne(receiver);
            assertEquals("soon", Sdk.body(found));
            assertFalse(found.getEnqueuedTime().isBefore(soon.withNano(0)), found.getEnqueuedTime().toString());
            assertNotNull(found.getScheduledEnqueueTime());
            receiver.complete(found);
        }
    }
}

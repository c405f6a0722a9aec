package interop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.core.amqp.models.AmqpAnnotatedMessage;
import com.azure.core.amqp.models.AmqpMessageBody;
import com.azure.core.amqp.models.AmqpMessageBodyType;
import com.azure.core.amqp.models.AmqpMessageHeader;
import com.azure.core.amqp.models.AmqpMessageId;
import com.azure.core.amqp.models.AmqpMessageProperties;
import com.azure.messaging.servicebus.ServiceBusClientBuilder;
import com.azure.messaging.servicebus.ServiceBusMessage;
import com.azure.messaging.servicebus.ServiceBusReceivedMessage;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import org.apache.qpid.proton.amqp.Decimal128;
import org.apache.qpid.proton.amqp.Decimal32;
import org.apache.qpid.proton.amqp.Decimal64;
import org.junit.jupiter.api.Test;

/** Messages of our client received by the SDK, and the other way round: fields, annotations and types. */
class PeerTest {
    private static final UUID KEY = UUID.fromString("00112233-4455-6677-8899-aabbccddeeff");
    private static final long WHEN = 1_580_702_706_789L;
    private static final OffsetDateTime TIME = Instant.ofEpochMilli(WHEN).atOffset(ZoneOffset.UTC);

    private final Emulator emulator = Emulator.shared();
    private final ServiceBusClientBuilder clients = emulator.clients();

    /** Runs our client: what it describes. */
    private List<Map<String, Object>> peer(List<String> arguments, List<Map<String, Object>> messages)
        throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(System.getenv("SDK_PEER"), emulator.connectionString));
        command.addAll(arguments);
        Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        try (var input = process.outputWriter(StandardCharsets.UTF_8)) {
            for (Map<String, Object> message : messages) {
                input.write(Json.write(message) + "\n");
            }
        }
        List<Map<String, Object>> found = new ArrayList<>();
        for (String line : process.inputReader(StandardCharsets.UTF_8).lines().toList()) {
            found.add(Json.object(Json.read(line)));
        }
        assertTrue(process.waitFor(Sdk.PATIENCE.toSeconds(), TimeUnit.SECONDS));
        assertEquals(0, process.exitValue());
        return found;
    }

    /** A value as descriptions have it. */
    private static List<Object> typed(String kind, Object value) {
        return Arrays.asList(kind, value);
    }

    private static String bits(double value) {
        return String.format("%#x", Double.doubleToRawLongBits(value));
    }

    /** A value and the name of its class, which tells its type. */
    private static String told(Object value) {
        Object shown = value;
        if (value instanceof Decimal32 decimal) {
            shown = String.format("%08x", decimal.getBits());
        } else if (value instanceof Decimal64 decimal) {
            shown = String.format("%016x", decimal.getBits());
        } else if (value instanceof Decimal128 decimal) {
            shown = String.format("%016x%016x", decimal.getMostSignificantBits(), decimal.getLeastSignificantBits());
        } else if (value instanceof Date date) {
            shown = date.getTime();
        }
        return value.getClass().getSimpleName() + " " + shown;
    }

    private static Map<String, String> told(Map<?, Object> values) {
        Map<String, String> all = new TreeMap<>();
        values.forEach((key, value) -> all.put(key.toString(), told(value)));
        return all;
    }

    @Test
    void whatOurClientSendsTheSdkReceives() throws IOException, InterruptedException {
        String queue = emulator.fresh("queue");
        // Every type that application properties may have; but the null, for which the SDK has no place.
        Object[][] properties = {
            {"boolean", true, "Boolean true"}, {"ubyte", 200, "UnsignedByte 200"}, {"byte", -100, "Byte -100"},
            {"ushort", 60_000, "UnsignedShort 60000"}, {"short", -30_000, "Short -30000"},
            {"uint", 4_000_000_000L, "UnsignedInteger 4000000000"}, {"int", -2_000_000_000, "Integer -2000000000"},
            {"ulong", "18446744073709551615", "UnsignedLong 18446744073709551615"},
            {"long", Long.toString(Long.MIN_VALUE), "Long -9223372036854775808"},
            {"float", String.format("%#x", Float.floatToRawIntBits(21.5f)), "Float 21.5"},
            {"double", bits(1.0 / 3), "Double " + 1.0 / 3}, {"char", 0xe4, "Character ä"},
            {"decimal32", "22500041", "Decimal32 22500041"}, {"decimal64", "2238000000000041", "Decimal64 2238000000000041"},
            {"decimal128", "22080000000000000000000000000041", "Decimal128 22080000000000000000000000000041"},
            {"timestamp", WHEN, "Date " + WHEN}, {"uuid", KEY.toString().replace("-", ""), "UUID " + KEY},
            {"binary", "00ff", "Binary \\x00\\xff"}, {"string", "täxt", "String täxt"}, {"symbol", "symbol", "Symbol symbol"},
        };
        List<Object> sent = new ArrayList<>();
        Map<String, String> wanted = new TreeMap<>();
        for (Object[] property : properties) {
            sent.add(List.of(property[0], typed((String) property[0], property[1])));
            wanted.put((String) property[0], (String) property[2]);
        }
        List<Map<String, Object>> messages = new ArrayList<>();
        for (List<Object> body : List.of(typed("data", List.of("00ff41")),
            typed("sequence", List.of(List.of(typed("int", 1), typed("string", "two")))),
            typed("value", typed("map", List.of(List.of(typed("string", "a"), typed("long", "7"))))))) {
            Map<String, Object> message = new TreeMap<>();
            message.putAll(Map.of("message_id", "id", "session_id", "session", "partition_key", "session",
                "correlation_id", "correlation", "subject", "subject", "to", "to", "reply_to", "reply",
                "reply_to_session_id", "reply-session", "content_type", "text/plain"));
            message.putAll(Map.of("time_to_live", 60_000, "user_id", "01ff", "group_sequence", 3,
                "creation_time", WHEN, "content_encoding", "utf-8", "priority", 7, "durable", true));
            message.putAll(Map.of("application_properties", sent,
                "annotations", List.of(List.of("x-opt-own", typed("int", 5))),
                "delivery_annotations", List.of(List.of("own", typed("string", "delivery"))),
                "footer", List.of(List.of("foot", typed("symbol", "note"))), "body", body));
            messages.add(message);
        }
        peer(List.of("send", queue), messages);
        List<ServiceBusReceivedMessage> found = Sdk.take(clients, queue, 3);
        for (ServiceBusReceivedMessage message : found) {
            assertEquals(List.of("id", "session", "session", "correlation", "subject", "to", "reply", "reply-session",
                "text/plain"),
                List.of(message.getMessageId(), message.getSessionId(), message.getPartitionKey(),
                    message.getCorrelationId(), message.getSubject(), message.getTo(), message.getReplyTo(),
                    message.getReplyToSessionId(), message.getContentType()));
            assertEquals(wanted, told(message.getApplicationProperties()));
            AmqpAnnotatedMessage raw = message.getRawAmqpMessage();
            AmqpMessageHeader header = raw.getHeader();
            assertEquals(List.of(true, (short) 7, Duration.ofMinutes(1)),
                List.of(header.isDurable(), header.getPriority(), header.getTimeToLive()));
            assertArrayEquals(new byte[] {1, -1}, raw.getProperties().getUserId());
            assertEquals(List.of(3L, TIME, "utf-8"), List.of(raw.getProperties().getGroupSequence(),
                raw.getProperties().getCreationTime(), raw.getProperties().getContentEncoding()));
            assertEquals(List.of("Integer 5", "String delivery", "Symbol note"),
                List.of(told(raw.getMessageAnnotations().get("x-opt-own")), told(raw.getDeliveryAnnotations().get("own")),
                    told(raw.getFooter().get("foot"))));
            assertEquals(Duration.ofMinutes(1), Duration.between(message.getEnqueuedTime(), message.getExpiresAt()));
        }
        AmqpMessageBody data = found.get(0).getRawAmqpMessage().getBody();
        assertEquals(AmqpMessageBodyType.DATA, data.getBodyType());
        assertArrayEquals(new byte[] {0, -1, 'A'}, data.getFirstData());
        assertEquals(List.of(1, "two"), found.get(1).getRawAmqpMessage().getBody().getSequence());
        assertEquals(Map.of("a", 7L), found.get(2).getRawAmqpMessage().getBody().getValue());
    }

    @Test
    void whatTheSdkSendsOurClientReceives() throws IOException, InterruptedException {
        String queue = emulator.fresh("queue");
        ServiceBusMessage plain = new ServiceBusMessage(new byte[] {0, -1}).setMessageId("id").setSessionId("session")
            .setPartitionKey("session").setContentType("text/plain").setCorrelationId("correlation")
            .setSubject("subject").setTo("to").setReplyTo("reply").setReplyToSessionId("reply-session")
            .setTimeToLive(Duration.ofMinutes(1));
        plain.getApplicationProperties().putAll(Map.of("boolean", false, "byte", (byte) -100, "short", (short) -30_000,
            "int", -7, "long", Long.MIN_VALUE, "double", 1.0 / 3, "string", "täxt", "uuid", KEY, "char", 'ä'));
        ServiceBusMessage value = new ServiceBusMessage(AmqpMessageBody.fromValue(List.of(1, 2.5, "three", true)));
        AmqpAnnotatedMessage raw = value.getRawAmqpMessage();
        raw.getHeader().setDurable(true).setPriority((short) 7);
        AmqpMessageProperties properties = raw.getProperties();
        properties.setMessageId(new AmqpMessageId("id")).setUserId(new byte[] {1}).setGroupSequence(3L);
        // Annotations of one's own the SDK leaves out.
        raw.getDeliveryAnnotations().put("own", 9);
        raw.getFooter().put("foot", "note");
        ServiceBusMessage sequence = new ServiceBusMessage(AmqpMessageBody.fromSequence(List.of(1, "two")));
        for (ServiceBusMessage message : List.of(plain, value, sequence)) {
            Sdk.send(clients, queue, List.of(message));
        }

        List<Map<String, Object>> found = peer(List.of("receive", queue, "3"), List.of());
        assertEquals(3, found.size());
        Map<String, Object> first = found.get(0);
        assertEquals(List.of("id", "session", "text/plain", "correlation", "subject", "to", "reply", "reply-session", 60_000,
            typed("data", List.of("00ff"))).toString(),
            List.of(first.get("message_id"), first.get("session_id"), first.get("content_type"), first.get("correlation_id"),
                first.get("subject"), first.get("to"), first.get("reply_to"), first.get("reply_to_session_id"),
                first.get("time_to_live"), first.get("body")).toString());
        assertEquals(new TreeMap<>(Map.of("boolean", typed("boolean", false), "byte", typed("byte", -100), "short",
            typed("short", -30_000), "int", typed("int", -7), "long", typed("long", Long.toString(Long.MIN_VALUE)),
            "double", typed("double", bits(1.0 / 3)), "string", typed("string", "täxt"),
            "uuid", typed("uuid", KEY.toString().replace("-", "")), "char", typed("char", (int) 'ä'))).toString(),
            entries(first, "application_properties").toString());
        Map<String, Object> second = found.get(1);
        assertEquals(List.of(true, 7, "01", 3, typed("value", typed("list", List.of(typed("int", 1),
            typed("double", bits(2.5)), typed("string", "three"), typed("boolean", true))))).toString(),
            List.of(second.get("durable"), second.get("priority"), second.get("user_id"), second.get("group_sequence"),
                second.get("body")).toString());
        assertEquals(typed("int", 9).toString(), entries(second, "delivery_annotations").get("own").toString());
        assertEquals(typed("string", "note"), entries(second, "footer").get("foot"));
        assertEquals(typed("sequence", List.of(List.of(typed("int", 1), typed("string", "two")))).toString(),
            found.get(2).get("body").toString());
    }

    private static Map<String, Object> entries(Map<String, Object> message, String section) {
        Map<String, Object> entries = new TreeMap<>();
        for (Object pair : Json.list(message.get(section))) {
            entries.put((String) Json.list(pair).get(0), Json.list(pair).get(1));
        }
        return entries;
    }
}

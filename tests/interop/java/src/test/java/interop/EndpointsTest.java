package interop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.azure.core.amqp.AmqpTransportType;
import com.azure.core.credential.AccessToken;
import com.azure.core.credential.AzureNamedKeyCredential;
import com.azure.core.credential.AzureSasCredential;
import com.azure.core.credential.TokenCredential;
import com.azure.messaging.servicebus.ServiceBusClientBuilder;
import com.azure.messaging.servicebus.ServiceBusMessage;
import com.azure.messaging.servicebus.ServiceBusReceivedMessage;
import com.azure.messaging.servicebus.ServiceBusReceiverClient;
import com.azure.messaging.servicebus.models.DeadLetterOptions;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.util.Base64;
import java.util.List;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.junit.jupiter.api.Test;
import reactor.core.publisher.Mono;

/** Ways to the emulator: plain, TLS, WebSockets, custom endpoints, and every kind of credential. */
class EndpointsTest {
    private static final String KEY_NAME = "RootManageSharedAccessKey";
    private static final String KEY = "SAS_KEY_VALUE";
    private final Emulator emulator = Emulator.shared();

    /** Sends, receives, settles on the link and over the management node. */
    private void works(ServiceBusClientBuilder clients) {
        String queue = emulator.fresh("queue");
        byte[] large = new byte[180_000];
        Sdk.send(clients, queue, "complete", "defer", "dead-letter");
        Sdk.send(clients, queue, List.of(new ServiceBusMessage(large)));
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue);
            ServiceBusReceiverClient dead = Sdk.deadLetters(clients, queue)) {
            List<ServiceBusReceivedMessage> messages = Sdk.receive(receiver, 4);
            receiver.complete(messages.get(0));
            receiver.defer(messages.get(1));
            receiver.deadLetter(messages.get(2), new DeadLetterOptions().setDeadLetterReason("why"));
            assertArrayEquals(large, messages.get(3).getBody().toBytes());
            receiver.complete(messages.get(3));
            receiver.complete(receiver.receiveDeferredMessage(messages.get(1).getSequenceNumber()));
            assertEquals("why", Sdk.receiveOne(dead).getDeadLetterReason());
            Sdk.assertEmpty(receiver);
        }
    }

    /** The service's name as programs have it, and the emulator's TLS port behind it. */
    private ServiceBusClientBuilder overTls() {
        return new ServiceBusClientBuilder().fullyQualifiedNamespace("interop.servicebus.windows.net")
            .customEndpointAddress("https://localhost:" + emulator.tlsPort);
    }

    @Test
    void plainWithAPortInTheConnectionString() {
        works(emulator.clients());
    }

    @Test
    void tlsWithAPortInTheConnectionString() {
        works(new ServiceBusClientBuilder().connectionString("Endpoint=sb://localhost:" + emulator.tlsPort
            + ";SharedAccessKeyName=" + KEY_NAME + ";SharedAccessKey=" + KEY));
    }

    @Test
    void tlsAtACustomEndpointWithAKey() {
        works(overTls().credential(new AzureNamedKeyCredential(KEY_NAME, KEY)));
    }

    @Test
    void tlsAtACustomEndpointWithASignature() throws Exception {
        String resource = URLEncoder.encode("https://interop.servicebus.windows.net", StandardCharsets.UTF_8);
        long end = System.currentTimeMillis() / 1000 + 600;
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(KEY.getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
        String signature = Base64.getEncoder().encodeToString(
            mac.doFinal((resource + "\n" + end).getBytes(StandardCharsets.UTF_8)));
        works(overTls().credential(new AzureSasCredential("SharedAccessSignature sr=" + resource + "&sig="
            + URLEncoder.encode(signature, StandardCharsets.UTF_8) + "&se=" + end + "&skn=" + KEY_NAME)));
    }

    @Test
    void tlsAtACustomEndpointWithAWebToken() {
        TokenCredential credential =
            request -> Mono.just(new AccessToken(Emulator.webToken(), OffsetDateTime.now().plusHours(1)));
        works(overTls().credential(credential));
    }

    @Test
    void webSocketsOverTls() {
        works(overTls().transportType(AmqpTransportType.AMQP_WEB_SOCKETS)
            .credential(new AzureNamedKeyCredential(KEY_NAME, KEY)));
    }
}

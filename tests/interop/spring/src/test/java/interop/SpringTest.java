package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.cloud.stream.function.StreamBridge;
import org.springframework.context.annotation.Bean;
import org.springframework.messaging.Message;

/** The settings of the emulator's README, word for word: Spring Cloud Azure's binder for Service Bus. */
class SpringTest {
    private static final BlockingQueue<String> RECEIVED = new LinkedBlockingQueue<>();

    @SpringBootConfiguration
    @EnableAutoConfiguration
    static class Application {
        @Bean
        Consumer<Message<String>> consume() {
            return message -> RECEIVED.add(message.getPayload());
        }
    }

    private static String example() throws IOException {
        String readme = Files.readString(Path.of("../../../emulator/README.md"));
        String section = readme.substring(readme.indexOf("### Spring\n"));
        String block = section.substring(section.indexOf("```yaml\n") + 8);
        return block.substring(0, block.indexOf("```"));
    }

    @Test
    void messagesGoThroughABinding() throws Exception {
        try (Emulator emulator = new Emulator("orders")) {
            messagesGoThroughABinding(emulator.connectionString());
        }
    }

    /** TLS with the emulator's own certificate, which is all that this JVM trusts. */
    @Test
    void messagesGoThroughABindingAsOnAzure() throws Exception {
        Path certificate = Files.createTempFile("emulator", ".pem");
        try (Emulator azure = new Emulator(
                "orders", "--tls-port", "5671", "--write-certificate", certificate.toString())) {
            assumeTrue(azure.isReady(), "port 5671 cannot be listened on");
            trust(certificate);
            messagesGoThroughABinding(
                "Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE");
        }
    }

    private static void trust(Path certificate) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (InputStream pem = Files.newInputStream(certificate)) {
            store.setCertificateEntry("emulator", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        Path file = Files.createTempFile("trust", ".p12");
        try (OutputStream out = Files.newOutputStream(file)) {
            store.store(out, "password".toCharArray());
        }
        System.setProperty("javax.net.ssl.trustStore", file.toString());
        System.setProperty("javax.net.ssl.trustStorePassword", "password");
    }

    private static void messagesGoThroughABinding(String connectionString) throws Exception {
        System.setProperty("SERVICEBUS_CONNECTION_STRING", connectionString);
        Path settings = Files.createTempFile("application", ".yml");
        Files.writeString(settings, example());
        try (var context = new SpringApplicationBuilder(Application.class)
                .web(WebApplicationType.NONE)
                .properties("spring.config.location=" + settings.toUri())
                .run()) {
            StreamBridge bridge = context.getBean(StreamBridge.class);
            Set<String> sent = new TreeSet<>();
            for (int number = 0; number < 20; number++) {
                sent.add("order " + number);
                assertTrue(bridge.send("supply-out-0", "order " + number));
            }
            Set<String> received = new TreeSet<>();
            for (int number = 0; number < 20; number++) {
                String body = RECEIVED.poll(20, TimeUnit.SECONDS);
                if (body != null) {
                    received.add(body);
                }
            }
            assertEquals(sent, received);
        }
    }
}

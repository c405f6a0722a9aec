package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.azure.messaging.servicebus.ServiceBusClientBuilder;
import com.azure.messaging.servicebus.ServiceBusMessage;
import com.azure.messaging.servicebus.ServiceBusSenderClient;
import com.azure.messaging.servicebus.administration.ServiceBusAdministrationClient;
import com.azure.messaging.servicebus.administration.ServiceBusAdministrationClientBuilder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** The example of the emulator's README, word for word: one connection string, as on Azure. */
class OneStringTest {
    @Test
    void messagesAndAdministrationAsOnAzure() {
        Emulator azure;
        try {
            azure = new Emulator("--tls-port", "5671", "--tls-port", "443");
        } catch (IllegalStateException error) {
            // It printed nothing: it could not listen.
            assertEquals("the emulator did not start: null", error.getMessage());
            assumeTrue(false, "ports 5671 and 443 cannot be listened on");
            return;
        }
        try (azure) {
            example(azure.administration());
        }
    }

    private static void example(String connectionString) {
        ServiceBusAdministrationClient administration =
            new ServiceBusAdministrationClientBuilder().connectionString(connectionString).buildClient();
        administration.createQueue("java");

        ServiceBusClientBuilder clients = new ServiceBusClientBuilder().connectionString(connectionString);
        try (ServiceBusSenderClient sender = clients.sender().queueName("java").buildClient()) {
            sender.sendMessage(new ServiceBusMessage("hello"));
        }

        assertEquals(1, administration.getQueueRuntimeProperties("java").getTotalMessageCount());
    }

    private static String lines(String text) {
        return text.lines().map(String::strip).collect(Collectors.joining("\n"));
    }

    @Test
    void theExampleOfTheReadmeIsTheOneThatIsTested() throws IOException {
        String readme = Files.readString(Path.of("../../../emulator/README.md"));
        String block = readme.substring(readme.indexOf("```java\n") + 8);
        String example = lines(block.substring(0, block.indexOf("```"))).strip();
        String source = Files.readString(Path.of("src/test/java/interop/OneStringTest.java"));
        assertTrue(lines(source).contains(example), example);
    }
}

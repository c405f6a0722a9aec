package interop;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** An emulator with one queue, in a process of its own. */
final class Emulator implements AutoCloseable {
    private final Process process;
    private final String ready;
    private final String connectionString;

    Emulator(String queue, String... options) throws IOException {
        Path configuration = Files.createTempFile("emulator", ".json");
        Files.writeString(configuration, """
            { "UserConfig": { "Namespaces": [ { "Name": "sbemulatorns", "Queues": [ { "Name": "%s" } ] } ] } }
            """.formatted(queue));
        List<String> command = new ArrayList<>(List.of(
            System.getenv("SERVICEBUS_EMULATOR"), "-q", "--amqp-port", "0", "--admin-port", "0",
            "--config", configuration.toString()));
        command.addAll(List.of(options));
        process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        BufferedReader lines = process.inputReader(StandardCharsets.UTF_8);
        ready = lines.readLine();
        connectionString = lines.readLine();
        Files.delete(configuration);
    }

    String connectionString() {
        return connectionString;
    }

    /** Whether it listens: a port may be taken, or not be for everybody. */
    boolean isReady() {
        return ready != null;
    }

    int port() {
        return Integer.parseInt(ready.replaceFirst("ready amqp=\\S+:(\\d+) .*", "$1"));
    }

    @Override
    public void close() throws InterruptedException {
        process.destroy();
        process.waitFor();
    }
}

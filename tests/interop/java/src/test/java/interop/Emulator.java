package interop;

import com.azure.core.http.HttpMethod;
import com.azure.core.http.policy.HttpPipelinePolicy;
import com.azure.core.util.UrlBuilder;
import com.azure.messaging.servicebus.ServiceBusClientBuilder;
import com.azure.messaging.servicebus.administration.ServiceBusAdministrationClientBuilder;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.net.MalformedURLException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** An emulator in a process of its own, with entities for each test. */
final class Emulator implements AutoCloseable {
    private static final int COPIES = 60;
    private static Emulator shared;

    private final Process process;
    private final Map<String, AtomicInteger> handedOut = new ConcurrentHashMap<>();
    private final HttpClient http = HttpClient.newHttpClient();
    private final String token = webToken();
    /** Where AMQP is plain, where it is TLS, and where entities are managed. */
    final int port;
    final int tlsPort;
    final int adminPort;
    /** Has every right. */
    final String connectionString;

    /** The one that tests share; it ends with this process. */
    static synchronized Emulator shared() {
        if (shared == null) {
            shared = new Emulator();
            Runtime.getRuntime().addShutdownHook(new Thread(shared::close));
        }
        return shared;
    }

    /** One of its own, for tests that count or disturb. */
    Emulator(String... options) {
        try {
            Path configuration = Files.createTempFile("interop", ".json");
            Files.writeString(configuration, namespace());
            List<String> command = new ArrayList<>(List.of(
                System.getenv("SERVICEBUS_EMULATOR"), "-q", "--amqp-port", "0", "--tls-port", "0", "--admin-port", "0",
                "--certificate", System.getenv("EMULATOR_CERTIFICATE"), "--key", System.getenv("EMULATOR_KEY"),
                "--config", configuration.toString()));
            command.addAll(List.of(options));
            process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            BufferedReader output =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
            String ready = output.readLine();
            Files.delete(configuration);
            port = portOf("amqp", ready);
            tlsPort = portOf("tls", ready);
            adminPort = portOf("admin", ready);
            connectionString = output.readLine();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static int portOf(String name, String ready) {
        Matcher found = Pattern.compile("\\b" + name + "=\\S+:(\\d+)").matcher(String.valueOf(ready));
        if (!found.find()) {
            throw new IllegalStateException("the emulator did not start: " + ready);
        }
        return Integer.parseInt(found.group(1));
    }

    /** The namespace of the suites with numbered copies of every queue and topic. */
    private static String namespace() throws IOException {
        String text = Files.readString(Path.of(System.getenv("INTEROP_NAMESPACE")));
        @SuppressWarnings("unchecked")
        Map<String, Object> root = (Map<String, Object>) Json.read(text.replaceAll("(?m)^\\s*//.*$", ""));
        Map<String, Object> entities = Json.object(Json.list(Json.object(root.get("UserConfig")).get("Namespaces")).get(0));
        for (String kind : List.of("Queues", "Topics")) {
            List<Object> numbered = new ArrayList<>();
            for (Object entity : Json.list(entities.get(kind))) {
                for (int number = 0; number < COPIES; number++) {
                    Map<String, Object> copy = new HashMap<>(Json.object(entity));
                    copy.put("Name", copy.get("Name") + "-" + number);
                    numbered.add(copy);
                }
            }
            entities.put(kind, numbered);
        }
        return Json.write(root);
    }

    /** An entity of this kind that no test has used yet. */
    String fresh(String name) {
        int number = handedOut.computeIfAbsent(name, ignored -> new AtomicInteger()).getAndIncrement();
        if (number >= COPIES) {
            throw new IllegalStateException("raise COPIES: there are no more of " + name);
        }
        return name + "-" + number;
    }

    /** Makes clients with every right. */
    ServiceBusClientBuilder clients() {
        return new ServiceBusClientBuilder().connectionString(connectionString);
    }

    /** A connection string with another key. */
    String withKey(String name, String key) {
        return "Endpoint=sb://localhost:" + port + ";SharedAccessKeyName=" + name + ";SharedAccessKey=" + key
            + ";UseDevelopmentEmulator=true";
    }

    /** A connection string without the port, for administration clients: they leave it out anyway. */
    String administration() {
        return "Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE";
    }

    /** Makes administration clients. They speak to the default port whatever they are told: it is put into each address. */
    ServiceBusAdministrationClientBuilder administrators(String scheme) {
        return new ServiceBusAdministrationClientBuilder().addPolicy(towards(scheme));
    }

    private HttpPipelinePolicy towards(String scheme) {
        return (context, next) -> {
            try {
                UrlBuilder url = UrlBuilder.parse(context.getHttpRequest().getUrl());
                context.getHttpRequest().setUrl(url.setScheme(scheme).setPort(adminPort).toUrl());
            } catch (MalformedURLException error) {
                throw new IllegalStateException(error);
            }
            return next.process();
        };
    }

    /** A JSON web token: its form and its end count, since nobody can sign for an emulator. */
    static String webToken() {
        Base64.Encoder encoder = Base64.getUrlEncoder().withoutPadding();
        long end = System.currentTimeMillis() / 1000 + 3600;
        String header = encoder.encodeToString("{\"alg\":\"none\"}".getBytes(StandardCharsets.UTF_8));
        String claims = encoder.encodeToString(("{\"exp\":" + end + "}").getBytes(StandardCharsets.UTF_8));
        return header + "." + claims + "." + encoder.encodeToString("signature".getBytes(StandardCharsets.UTF_8));
    }

    /** What the emulator has counted since its start. */
    Map<String, Long> counted() {
        Map<String, Long> counters = new HashMap<>();
        Json.object(Json.read(ask(HttpMethod.GET, "statistics")))
            .forEach((name, value) -> counters.put(name, ((Number) value).longValue()));
        return counters;
    }

    /** Closes every connection, as the service does now and then. */
    void closeConnections() {
        ask(HttpMethod.DELETE, "connections");
    }

    private String ask(HttpMethod method, String what) {
        HttpRequest request = HttpRequest.newBuilder(URI.create("http://localhost:" + adminPort + "/$emulator/" + what))
            .method(method.toString(), HttpRequest.BodyPublishers.noBody())
            .header("Authorization", "Bearer " + token)
            .build();
        try {
            HttpResponse<String> response = http.send(request, HttpResponse.BodyHandlers.ofString());
            if (response.statusCode() != 200) {
                throw new IllegalStateException(method + " " + what + ": " + response.statusCode());
            }
            return response.body();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    @Override
    public void close() {
        process.destroy();
    }
}

package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.core.credential.AccessToken;
import com.azure.core.credential.TokenCredential;
import com.azure.core.exception.ClientAuthenticationException;
import com.azure.core.exception.HttpResponseException;
import com.azure.core.exception.ResourceExistsException;
import com.azure.core.exception.ResourceNotFoundException;
import com.azure.messaging.servicebus.ServiceBusMessage;
import com.azure.messaging.servicebus.ServiceBusReceiverClient;
import com.azure.messaging.servicebus.ServiceBusSenderClient;
import com.azure.messaging.servicebus.administration.ServiceBusAdministrationAsyncClient;
import com.azure.messaging.servicebus.administration.ServiceBusAdministrationClient;
import com.azure.messaging.servicebus.administration.ServiceBusAdministrationClientBuilder;
import com.azure.messaging.servicebus.administration.models.AccessRights;
import com.azure.messaging.servicebus.administration.models.CorrelationRuleFilter;
import com.azure.messaging.servicebus.administration.models.CreateQueueOptions;
import com.azure.messaging.servicebus.administration.models.CreateRuleOptions;
import com.azure.messaging.servicebus.administration.models.CreateSubscriptionOptions;
import com.azure.messaging.servicebus.administration.models.CreateTopicOptions;
import com.azure.messaging.servicebus.administration.models.EmptyRuleAction;
import com.azure.messaging.servicebus.administration.models.EntityStatus;
import com.azure.messaging.servicebus.administration.models.FalseRuleFilter;
import com.azure.messaging.servicebus.administration.models.MessagingSku;
import com.azure.messaging.servicebus.administration.models.NamespaceProperties;
import com.azure.messaging.servicebus.administration.models.QueueProperties;
import com.azure.messaging.servicebus.administration.models.QueueRuntimeProperties;
import com.azure.messaging.servicebus.administration.models.RuleProperties;
import com.azure.messaging.servicebus.administration.models.SharedAccessAuthorizationRule;
import com.azure.messaging.servicebus.administration.models.SqlRuleAction;
import com.azure.messaging.servicebus.administration.models.SqlRuleFilter;
import com.azure.messaging.servicebus.administration.models.SubscriptionProperties;
import com.azure.messaging.servicebus.administration.models.SubscriptionRuntimeProperties;
import com.azure.messaging.servicebus.administration.models.TopicProperties;
import com.azure.messaging.servicebus.administration.models.TrueRuleFilter;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import reactor.core.publisher.Mono;

/** Administration clients against the management endpoint. */
class AdministrationTest {
    private final Emulator emulator = Emulator.shared();
    private final ServiceBusAdministrationClient client =
        emulator.administrators("http").connectionString(emulator.administration()).buildClient();

    private static String name(String kind) {
        return "made-" + kind + "-" + UUID.randomUUID();
    }

    @Test
    void aQueueIsMadeReadChangedAndDeleted() {
        String name = name("queue");
        assertFalse(client.getQueueExists(name));
        CreateQueueOptions options = new CreateQueueOptions().setLockDuration(Duration.ofSeconds(45))
            .setMaxDeliveryCount(7).setSessionRequired(true).setDuplicateDetectionRequired(true)
            .setDuplicateDetectionHistoryTimeWindow(Duration.ofMinutes(2)).setMaxSizeInMegabytes(2048)
            .setDefaultMessageTimeToLive(Duration.ofDays(3)).setDeadLetteringOnMessageExpiration(true)
            .setAutoDeleteOnIdle(Duration.ofHours(2)).setUserMetadata("a <note> & more");
        options.getAuthorizationRules()
            .add(new SharedAccessAuthorizationRule("own", List.of(AccessRights.LISTEN, AccessRights.SEND)));
        for (QueueProperties found : List.of(client.createQueue(name, options), client.getQueue(name))) {
            assertEquals(name, found.getName());
            assertEquals(Duration.ofSeconds(45), found.getLockDuration());
            assertEquals(7, found.getMaxDeliveryCount());
            assertTrue(found.isSessionRequired());
            assertTrue(found.isDuplicateDetectionRequired());
            assertEquals(Duration.ofMinutes(2), found.getDuplicateDetectionHistoryTimeWindow());
            assertEquals(2048, found.getMaxSizeInMegabytes());
            assertEquals(Duration.ofDays(3), found.getDefaultMessageTimeToLive());
            assertTrue(found.isDeadLetteringOnMessageExpiration());
            assertEquals(Duration.ofHours(2), found.getAutoDeleteOnIdle());
            assertEquals("a <note> & more", found.getUserMetadata());
            assertEquals(EntityStatus.ACTIVE, found.getStatus());
            assertEquals("own", found.getAuthorizationRules().get(0).getKeyName());
        }
        assertTrue(client.getQueueExists(name));
        QueueProperties changed = client.updateQueue(client.getQueue(name).setMaxDeliveryCount(8)
            .setStatus(EntityStatus.RECEIVE_DISABLED));
        assertEquals(8, changed.getMaxDeliveryCount());
        assertEquals(EntityStatus.RECEIVE_DISABLED, client.getQueue(name).getStatus());
        assertThrows(ResourceExistsException.class, () -> client.createQueue(name));
        client.deleteQueue(name);
        assertFalse(client.getQueueExists(name));
        assertThrows(ResourceNotFoundException.class, () -> client.getQueue(name));
        assertThrows(ResourceNotFoundException.class, () -> client.deleteQueue(name));
    }

    @Test
    void theRunTimePropertiesOfAQueueCountItsMessages() {
        String name = name("queue");
        client.createQueue(name, new CreateQueueOptions());
        try (ServiceBusSenderClient sender = emulator.clients().sender().queueName(name).buildClient();
            ServiceBusReceiverClient receiver = Sdk.receiver(emulator.clients(), name)) {
            sender.sendMessages(List.of(new ServiceBusMessage("a"), new ServiceBusMessage("b")));
            sender.scheduleMessage(new ServiceBusMessage("later"), OffsetDateTime.now().plusHours(1));
            receiver.deadLetter(Sdk.receiveOne(receiver));
        }
        QueueRuntimeProperties found = client.getQueueRuntimeProperties(name);
        assertEquals(name, found.getName());
        assertEquals(1, found.getActiveMessageCount());
        assertEquals(1, found.getDeadLetterMessageCount());
        assertEquals(1, found.getScheduledMessageCount());
        assertEquals(0, found.getTransferMessageCount());
        assertEquals(3, found.getTotalMessageCount());
        assertTrue(found.getSizeInBytes() > 0);
        assertTrue(Duration.between(found.getCreatedAt(), OffsetDateTime.now()).abs().toMinutes() < 1);
    }

    @Test
    void topicsAndSubscriptionsAreMadeReadChangedAndDeleted() {
        String topic = name("topic");
        String target = name("queue");
        client.createQueue(target);
        TopicProperties made = client.createTopic(topic,
            new CreateTopicOptions().setDefaultMessageTimeToLive(Duration.ofDays(2)).setUserMetadata("note"));
        assertEquals(Duration.ofDays(2), made.getDefaultMessageTimeToLive());
        assertTrue(client.getTopicExists(topic));
        assertEquals("other", client.updateTopic(made.setUserMetadata("other")).getUserMetadata());

        SubscriptionProperties all = client.createSubscription(topic, "all",
            new CreateSubscriptionOptions().setLockDuration(Duration.ofSeconds(20)).setMaxDeliveryCount(4)
                .setForwardDeadLetteredMessagesTo(target));
        assertEquals("all", all.getSubscriptionName());
        assertEquals(Duration.ofSeconds(20), all.getLockDuration());
        assertTrue(all.getForwardDeadLetteredMessagesTo().endsWith(target), all.getForwardDeadLetteredMessagesTo());
        assertEquals(5, client.updateSubscription(all.setMaxDeliveryCount(5)).getMaxDeliveryCount());
        client.createSubscription(topic, "red", "only-red", new CreateSubscriptionOptions(),
            new CreateRuleOptions(new SqlRuleFilter("colour = 'red'")));
        assertEquals(List.of("all", "red"),
            client.listSubscriptions(topic).stream().map(SubscriptionProperties::getSubscriptionName).toList());
        assertEquals(List.of("only-red"),
            client.listRules(topic, "red").stream().map(RuleProperties::getName).toList());
        assertEquals(2, client.getTopicRuntimeProperties(topic).getSubscriptionCount());

        try (ServiceBusSenderClient sender = emulator.clients().sender().topicName(topic).buildClient()) {
            ServiceBusMessage red = new ServiceBusMessage("x");
            red.getApplicationProperties().put("colour", "red");
            sender.sendMessages(List.of(red, new ServiceBusMessage("y")));
        }
        SubscriptionRuntimeProperties counted = client.getSubscriptionRuntimeProperties(topic, "all");
        assertEquals(2, counted.getActiveMessageCount());
        assertEquals(1, client.getSubscriptionRuntimeProperties(topic, "red").getActiveMessageCount());

        assertTrue(client.getSubscriptionExists(topic, "red"));
        client.deleteSubscription(topic, "red");
        assertFalse(client.getSubscriptionExists(topic, "red"));
        assertThrows(ResourceNotFoundException.class, () -> client.getSubscription(topic, "red"));
        client.deleteTopic(topic);
        assertThrows(ResourceNotFoundException.class, () -> client.getTopic(topic));
    }

    @Test
    void rulesAreMadeReadChangedAndDeletedRul41Rul42() {
        String topic = name("topic");
        client.createTopic(topic);
        client.createSubscription(topic, "all");
        RuleProperties first = client.getRule(topic, "all", "$Default");
        assertInstanceOf(TrueRuleFilter.class, first.getFilter());
        assertInstanceOf(EmptyRuleAction.class, first.getAction());
        client.deleteRule(topic, "all", "$Default");

        SqlRuleFilter filter = new SqlRuleFilter("size > @least AND sys.Label = 's'");
        filter.getParameters().put("@least", 2);
        // The SDK wants the rule's name before the subscription's here.
        RuleProperties sql = client.createRule(topic, "sql", "all",
            new CreateRuleOptions(filter).setAction(new SqlRuleAction("SET by = 'sql'")));
        SqlRuleFilter found = assertInstanceOf(SqlRuleFilter.class, sql.getFilter());
        assertEquals("size > @least AND sys.Label = 's'", found.getSqlExpression());
        // The SDK sends values of any type as text, and reads them as that.
        assertEquals("2", found.getParameters().get("@least"));
        assertEquals("SET by = 'sql'", assertInstanceOf(SqlRuleAction.class, sql.getAction()).getSqlExpression());

        CorrelationRuleFilter correlation = new CorrelationRuleFilter("id").setLabel("s").setTo("to").setMessageId("m");
        correlation.getProperties().put("text", "t");
        client.createRule(topic, "correlation", "all", new CreateRuleOptions(correlation));
        assertEquals(correlation, client.getRule(topic, "all", "correlation").getFilter());
        client.createRule(topic, "none", "all", new CreateRuleOptions(new FalseRuleFilter()));

        RuleProperties changed = client.updateRule(topic, "all", sql.setFilter(new SqlRuleFilter("size > 9")));
        assertEquals("size > 9", ((SqlRuleFilter) changed.getFilter()).getSqlExpression());
        assertEquals(List.of("correlation", "none", "sql"),
            client.listRules(topic, "all").stream().map(RuleProperties::getName).sorted().toList());
        client.deleteRule(topic, "all", "none");
        assertThrows(ResourceNotFoundException.class, () -> client.getRule(topic, "all", "none"));
        assertThrows(HttpResponseException.class, () -> client.createRule(topic, "wrong", "all",
            new CreateRuleOptions(new SqlRuleFilter("size >"))));
    }

    @Test
    void listsGoOverPages() {
        // The suites' namespace has more queues than a page holds.
        List<String> queues = client.listQueues().stream().map(QueueProperties::getName).toList();
        assertTrue(queues.size() > 200, queues.size() + " queues");
        assertTrue(queues.containsAll(List.of("queue-0", "unique-0", "session-0")));
        assertTrue(client.listQueues().streamByPage().count() > 1);
        assertTrue(client.listTopics().stream().map(TopicProperties::getName).toList().contains("topic-0"));
    }

    @Test
    void theNamespaceTellsOfItself() {
        NamespaceProperties found = client.getNamespaceProperties();
        assertEquals("interop", found.getName());
        assertEquals(MessagingSku.STANDARD, found.getMessagingSku());
    }

    @Test
    void wrongKeysAndWrongValuesAreRefused() {
        ServiceBusAdministrationClient wrong = emulator.administrators("http")
            .connectionString(emulator.administration().replace("SAS_KEY_VALUE", "d3Jvbmc=")).buildClient();
        assertThrows(ClientAuthenticationException.class, () -> wrong.createQueue(name("queue")));
        HttpResponseException error = assertThrows(HttpResponseException.class,
            () -> client.createQueue(name("queue"), new CreateQueueOptions().setLockDuration(Duration.ofHours(1))));
        assertEquals(400, error.getResponse().getStatusCode());
    }

    @Test
    void tlsAndAWebTokenAreEnough() {
        TokenCredential credential =
            request -> Mono.just(new AccessToken(Emulator.webToken(), OffsetDateTime.now().plusHours(1)));
        ServiceBusAdministrationClient overTls =
            emulator.administrators("https").credential("localhost", credential).buildClient();
        assertTrue(overTls.getQueueExists("queue-0"));
        // A namespace with its port needs no policy.
        ServiceBusAdministrationClient direct =
            new ServiceBusAdministrationClientBuilder().credential("localhost:" + emulator.adminPort, credential).buildClient();
        assertTrue(direct.getQueueExists("queue-0"));
    }

    @Test
    void theReactiveClientDoesTheSame() {
        String name = name("queue");
        ServiceBusAdministrationAsyncClient reactive =
            emulator.administrators("http").connectionString(emulator.administration()).buildAsyncClient();
        reactive.createQueue(name, new CreateQueueOptions().setMaxDeliveryCount(7))
            .flatMap(made -> reactive.updateQueue(made.setMaxDeliveryCount(8)))
            .flatMap(changed -> reactive.getQueue(name))
            .doOnNext(found -> assertEquals(8, found.getMaxDeliveryCount()))
            .then(reactive.deleteQueue(name))
            .block(Sdk.PATIENCE);
        assertEquals(false, reactive.getQueueExists(name).block(Sdk.PATIENCE));
        assertThrows(ResourceNotFoundException.class, () -> reactive.getQueue(name).block(Sdk.PATIENCE));
        assertTrue(reactive.listQueues().count().block(Sdk.PATIENCE) > 200);
    }
}

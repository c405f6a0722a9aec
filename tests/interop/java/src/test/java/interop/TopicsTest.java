package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

import com.azure.messaging.servicebus.ServiceBusClientBuilder;
import com.azure.messaging.servicebus.ServiceBusFailureReason;
import com.azure.messaging.servicebus.ServiceBusMessage;
import com.azure.messaging.servicebus.ServiceBusReceivedMessage;
import com.azure.messaging.servicebus.ServiceBusReceiverClient;
import com.azure.messaging.servicebus.ServiceBusRuleManagerClient;
import com.azure.messaging.servicebus.ServiceBusSenderClient;
import com.azure.messaging.servicebus.ServiceBusSessionReceiverClient;
import com.azure.messaging.servicebus.administration.models.CorrelationRuleFilter;
import com.azure.messaging.servicebus.administration.models.CreateRuleOptions;
import com.azure.messaging.servicebus.administration.models.RuleProperties;
import com.azure.messaging.servicebus.administration.models.SqlRuleAction;
import com.azure.messaging.servicebus.administration.models.SqlRuleFilter;
import com.azure.messaging.servicebus.administration.models.TrueRuleFilter;
import com.azure.messaging.servicebus.models.DeadLetterOptions;
import com.azure.messaging.servicebus.models.SubQueue;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** Topics: every subscription gets what its rules let through, and rules come and go. */
class TopicsTest {
    private final Emulator emulator = Emulator.shared();
    private final ServiceBusClientBuilder clients = emulator.clients();

    private static ServiceBusMessage message(String body, Map<String, Object> properties) {
        ServiceBusMessage message = new ServiceBusMessage(body).setSessionId("s");
        message.getApplicationProperties().putAll(properties);
        return message;
    }

    private void send(String topic, ServiceBusMessage... messages) {
        try (ServiceBusSenderClient sender = clients.sender().topicName(topic).buildClient()) {
            sender.sendMessages(List.of(messages));
        }
    }

    private ServiceBusReceiverClient receiver(String topic, String subscription, SubQueue subQueue) {
        return clients.receiver().topicName(topic).subscriptionName(subscription).subQueue(subQueue)
            .maxAutoLockRenewDuration(Duration.ZERO).buildClient();
    }

    @Test
    void subscriptionsGetCopiesByTheirRules() {
        String topic = emulator.fresh("topic");
        send(topic, message("a", Map.of("colour", "red", "size", 1)),
            message("b", Map.of("colour", "red", "size", 2.5)), message("c", Map.of("colour", "blue", "size", 3)));
        try (ServiceBusReceiverClient all = receiver(topic, "all", SubQueue.NONE);
            ServiceBusReceiverClient red = receiver(topic, "red", SubQueue.NONE);
            ServiceBusSessionReceiverClient acceptor =
                clients.sessionReceiver().topicName(topic).subscriptionName("session").buildClient();
            ServiceBusReceiverClient session = acceptor.acceptSession("s")) {
            assertEquals(List.of("a", "b", "c"), Sdk.bodies(Sdk.receive(all, 3)));
            ServiceBusReceivedMessage found = Sdk.receiveOne(red);
            assertEquals("b", Sdk.body(found));
            assertEquals("red", found.getApplicationProperties().get("matched"));
            assertEquals(List.of("a", "b", "c"), Sdk.bodies(Sdk.receive(session, 3)));
            assertEquals(topic + "/subscriptions/all", all.getEntityPath());
        }
    }

    @Test
    void subscriptionsSettleDeferAndDeadLetterAsQueuesDo() {
        String topic = emulator.fresh("topic");
        send(topic, message("a", Map.of()), message("b", Map.of()), message("c", Map.of()));
        try (ServiceBusReceiverClient receiver = receiver(topic, "all", SubQueue.NONE);
            ServiceBusReceiverClient dead = receiver(topic, "all", SubQueue.DEAD_LETTER_QUEUE)) {
            List<ServiceBusReceivedMessage> messages = Sdk.receive(receiver, 3);
            receiver.complete(messages.get(0));
            receiver.defer(messages.get(1));
            receiver.deadLetter(messages.get(2), new DeadLetterOptions().setDeadLetterReason("why"));
            receiver.complete(receiver.receiveDeferredMessage(messages.get(1).getSequenceNumber()));
            Sdk.assertEmpty(receiver);
            ServiceBusReceivedMessage found = Sdk.receiveOne(dead);
            assertEquals("c", Sdk.body(found));
            assertEquals("why", found.getDeadLetterReason());
            dead.complete(found);
        }
    }

    @Test
    void rulesAreMadeListedAndDeletedAndApplyAtOnce() {
        String topic = emulator.fresh("topic");
        try (ServiceBusRuleManagerClient rules =
                clients.ruleManager().topicName(topic).subscriptionName("all").buildClient();
            ServiceBusReceiverClient receiver = receiver(topic, "all", SubQueue.NONE)) {
            List<RuleProperties> first = rules.listRules().stream().toList();
            assertEquals(1, first.size());
            assertEquals("$Default", first.get(0).getName());
            assertInstanceOf(TrueRuleFilter.class, first.get(0).getFilter());

            // Parameters are sent by administration clients alone.
            SqlRuleFilter sql = new SqlRuleFilter("size > 2");
            rules.createRule("sql", new CreateRuleOptions(sql).setAction(new SqlRuleAction("SET by = 'sql'")));
            CorrelationRuleFilter correlation = new CorrelationRuleFilter("id").setLabel("subject");
            correlation.getProperties().put("colour", "red");
            rules.createRule("correlation", new CreateRuleOptions(correlation));
            rules.deleteRule("$Default");

            Map<String, RuleProperties> listed = new TreeMap<>();
            rules.listRules().forEach(rule -> listed.put(rule.getName(), rule));
            assertEquals(List.of("correlation", "sql"), List.copyOf(listed.keySet()));
            SqlRuleFilter foundSql = (SqlRuleFilter) listed.get("sql").getFilter();
            assertEquals("size > 2", foundSql.getSqlExpression());
            assertEquals("SET by = 'sql'", ((SqlRuleAction) listed.get("sql").getAction()).getSqlExpression());
            CorrelationRuleFilter foundCorrelation = (CorrelationRuleFilter) listed.get("correlation").getFilter();
            assertEquals("id", foundCorrelation.getCorrelationId());
            assertEquals("subject", foundCorrelation.getLabel());
            assertEquals(Map.of("colour", "red"), foundCorrelation.getProperties());

            send(topic, message("small", Map.of("size", 2)), message("big", Map.of("size", 3)),
                message("red", Map.of("colour", "red")).setCorrelationId("id").setSubject("subject"));
            List<ServiceBusReceivedMessage> found = Sdk.receive(receiver, 2);
            assertEquals(List.of("big", "red"), Sdk.bodies(found));
            assertEquals("sql", found.get(0).getApplicationProperties().get("by"));

            Sdk.assertFails(ServiceBusFailureReason.MESSAGING_ENTITY_ALREADY_EXISTS,
                () -> rules.createRule("sql", new CreateRuleOptions(new TrueRuleFilter())));
            Sdk.assertFails(ServiceBusFailureReason.MESSAGING_ENTITY_NOT_FOUND, () -> rules.deleteRule("nothing"));
        }
    }
}

package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import jakarta.jms.JMSConsumer;
import jakarta.jms.JMSContext;
import jakarta.jms.JMSProducer;
import jakarta.jms.Message;
import jakarta.jms.Queue;
import jakarta.jms.TextMessage;
import org.apache.qpid.jms.JmsConnectionFactory;
import org.junit.jupiter.api.Test;

/** qpid-jms, a client of AMQP 1.0 by others: JMS 1.1 on queues, within transactions and without. */
class JmsTest {
    @Test
    void queuesAreSentToAndReceivedFrom() throws Exception {
        try (Emulator emulator = new Emulator("orders")) {
            var factory = new JmsConnectionFactory(
                "RootManageSharedAccessKey", "SAS_KEY_VALUE", "amqp://localhost:" + emulator.port());
            try (JMSContext context = factory.createContext(JMSContext.CLIENT_ACKNOWLEDGE)) {
                Queue queue = context.createQueue("orders");
                JMSProducer producer = context.createProducer();
                for (int number = 0; number < 10; number++) {
                    producer.setProperty("number", number).send(queue, "order " + number);
                }
                JMSConsumer consumer = context.createConsumer(queue);
                for (int number = 0; number < 10; number++) {
                    Message message = consumer.receive(10_000);
                    assertEquals("order " + number, ((TextMessage) message).getText());
                    assertEquals(number, message.getIntProperty("number"));
                    message.acknowledge();
                }
                assertNull(consumer.receiveNoWait());
            }
            try (JMSContext context = factory.createContext(JMSContext.SESSION_TRANSACTED)) {
                Queue queue = context.createQueue("orders");
                context.createProducer().send(queue, "rolled back");
                context.rollback();
                context.createProducer().send(queue, "committed");
                context.commit();
                JMSConsumer consumer = context.createConsumer(queue);
                assertEquals("committed", consumer.receiveBody(String.class, 10_000));
                context.commit();
                assertNull(consumer.receiveNoWait());
            }
        }
    }
}

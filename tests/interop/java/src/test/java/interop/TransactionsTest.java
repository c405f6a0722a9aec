package interop;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.azure.messaging.servicebus.ServiceBusClientBuilder;
import com.azure.messaging.servicebus.ServiceBusMessage;
import com.azure.messaging.servicebus.ServiceBusMessageBatch;
import com.azure.messaging.servicebus.ServiceBusReceivedMessage;
import com.azure.messaging.servicebus.ServiceBusReceiverClient;
import com.azure.messaging.servicebus.ServiceBusSenderClient;
import com.azure.messaging.servicebus.ServiceBusTransactionContext;
import com.azure.messaging.servicebus.models.AbandonOptions;
import com.azure.messaging.servicebus.models.CompleteOptions;
import com.azure.messaging.servicebus.models.DeadLetterOptions;
import com.azure.messaging.servicebus.models.DeferOptions;
import com.azure.messaging.servicebus.models.ServiceBusMessageState;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Transactions: on one entity, and across entities. */
class TransactionsTest {
    private final Emulator emulator = Emulator.shared();
    private final ServiceBusClientBuilder clients = emulator.clients();

    @Test
    void whatIsSentAppearsWithTheCommitAndNotWithARollbackTxn1Txn2() {
        String queue = emulator.fresh("queue");
        try (ServiceBusSenderClient sender = clients.sender().queueName(queue).buildClient();
            ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue)) {
            ServiceBusTransactionContext dropped = sender.createTransaction();
            sender.sendMessage(new ServiceBusMessage("dropped"), dropped);
            sender.rollbackTransaction(dropped);

            ServiceBusTransactionContext kept = sender.createTransaction();
            sender.sendMessage(new ServiceBusMessage("one"), kept);
            sender.sendMessages(List.of(new ServiceBusMessage("two"), new ServiceBusMessage("three")), kept);
            ServiceBusMessageBatch batch = sender.createMessageBatch();
            batch.tryAddMessage(new ServiceBusMessage("four"));
            sender.sendMessages(batch, kept);
            Sdk.assertEmpty(receiver);
            sender.commitTransaction(kept);
            assertEquals(List.of("one", "two", "three", "four"), Sdk.bodies(Sdk.receive(receiver, 4)));
        }
    }

    @Test
    void whatIsScheduledIsThereAfterTheCommitTxn4() {
        String queue = emulator.fresh("queue");
        OffsetDateTime later = OffsetDateTime.now().plusHours(1);
        try (ServiceBusSenderClient sender = clients.sender().queueName(queue).buildClient();
            ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue)) {
            ServiceBusTransactionContext transaction = sender.createTransaction();
            List<Long> numbers = new ArrayList<>();
            numbers.add(sender.scheduleMessage(new ServiceBusMessage("a"), later, transaction));
            sender.scheduleMessages(List.of(new ServiceBusMessage("b")), later, transaction).forEach(numbers::add);
            Sdk.assertEmpty(receiver);
            sender.commitTransaction(transaction);
            List<ServiceBusReceivedMessage> peeked = receiver.peekMessages(10, 1).stream().toList();
            assertEquals(List.of("a", "b"), Sdk.bodies(peeked));
            assertEquals(numbers, peeked.stream().map(ServiceBusReceivedMessage::getSequenceNumber).toList());
        }
    }

    @Test
    void everySettlementTakesPartTxn9() {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, "complete", "abandon", "defer", "dead-letter");
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue);
            ServiceBusReceiverClient dead = Sdk.deadLetters(clients, queue)) {
            List<ServiceBusReceivedMessage> messages = Sdk.receive(receiver, 4);
            ServiceBusTransactionContext transaction = receiver.createTransaction();
            receiver.complete(messages.get(0), new CompleteOptions().setTransactionContext(transaction));
            receiver.abandon(messages.get(1), new AbandonOptions().setTransactionContext(transaction));
            receiver.defer(messages.get(2), new DeferOptions().setTransactionContext(transaction));
            receiver.deadLetter(messages.get(3),
                new DeadLetterOptions().setDeadLetterReason("why").setTransactionContext(transaction));
            assertEquals(4, receiver.peekMessages(10, 1).stream().count());
            Sdk.assertEmpty(dead);
            receiver.commitTransaction(transaction);

            ServiceBusReceivedMessage again = Sdk.receiveOne(receiver);
            assertEquals("abandon", Sdk.body(again));
            assertEquals(1, again.getDeliveryCount());
            receiver.complete(again);
            ServiceBusReceivedMessage deferred = receiver.peekMessage(1);
            assertEquals(ServiceBusMessageState.DEFERRED, deferred.getState());
            receiver.complete(receiver.receiveDeferredMessage(deferred.getSequenceNumber()));
            Sdk.assertEmpty(receiver);
            assertEquals("why", Sdk.receiveOne(dead).getDeadLetterReason());
        }
    }

    @Test
    void aMessageWhoseSettlementIsRolledBackStaysLockedAndCanBeSettled() {
        String queue = emulator.fresh("queue");
        Sdk.send(clients, queue, "x");
        try (ServiceBusReceiverClient receiver = Sdk.receiver(clients, queue)) {
            ServiceBusReceivedMessage message = Sdk.receiveOne(receiver);
            ServiceBusTransactionContext transaction = receiver.createTransaction();
            receiver.complete(message, new CompleteOptions().setTransactionContext(transaction));
            receiver.rollbackTransaction(transaction);
            Sdk.assertNothingComes(receiver);
            assertEquals(List.of("x"), Sdk.bodies(receiver.peekMessages(10, 1).stream()));
        }
    }

    @Test
    void aMessageIsMovedBetweenEntitiesAsAWhole() {
        String from = emulator.fresh("queue");
        String to = emulator.fresh("queue");
        String other = emulator.fresh("queue");
        Sdk.send(clients, from, "x");
        ServiceBusClientBuilder across = emulator.clients().enableCrossEntityTransactions();
        try (ServiceBusReceiverClient receiver = Sdk.receiver(across, from);
            ServiceBusSenderClient sender = across.sender().queueName(to).buildClient();
            ServiceBusSenderClient second = across.sender().queueName(other).buildClient();
            ServiceBusReceiverClient moved = Sdk.receiver(clients, to);
            ServiceBusReceiverClient copied = Sdk.receiver(clients, other)) {
            // The entity that is used first is the one that the others are reached through.
            ServiceBusReceivedMessage message = Sdk.receiveOne(receiver);
            ServiceBusTransactionContext transaction = receiver.createTransaction();
            receiver.complete(message, new CompleteOptions().setTransactionContext(transaction));
            sender.sendMessage(new ServiceBusMessage(message), transaction);
            second.sendMessage(new ServiceBusMessage("copy"), transaction);
            Sdk.assertEmpty(moved);
            receiver.commitTransaction(transaction);
            assertEquals("x", Sdk.body(Sdk.receiveOne(moved)));
            assertEquals("copy", Sdk.body(Sdk.receiveOne(copied)));
            Sdk.assertEmpty(receiver);
        }
    }
}

package interop

// Receiving: batches, modes, waits, peeks, deferred messages, sub-queues.

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

func Test500MessagesAreReceivedAndCompletedOverOneConnection(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	counters, client := emulator.counters(t), emulator.client(t)
	const count = 500
	var sent []string
	for number := range count {
		sent = append(sent, fmt.Sprint(number))
	}
	sendTexts(t, client, "queue", sent...)
	receiver := receiver(t, client, "queue", nil)
	var found []string
	for len(found) < count {
		messages, err := receiver.ReceiveMessages(during(t, patience), 100, unhurried)
		must(t, err)
		found = append(found, bodies(messages)...)
		complete(t, receiver, messages...)
	}
	equal(t, found, sent)
	counters.counted(t, map[string]int64{
		"connections-accepted": 1, "messages-delivered": count, "settled-on-links": count, "settled-by-management": 0,
	})
}

func TestFewerMessagesThanAskedForComeAfterTheFirstCRD1(t *testing.T) {
	t.Parallel()
	client := start(t).client(t)
	sendTexts(t, client, "queue", "a", "b", "c")
	receiver := receiver(t, client, "queue", nil)
	began := time.Now()
	options := &azservicebus.ReceiveMessagesOptions{TimeAfterFirstMessage: 300 * time.Millisecond}
	messages, err := receiver.ReceiveMessages(during(t, patience), 100, options)
	must(t, err)
	took := time.Since(began)
	equal(t, bodies(messages), []string{"a", "b", "c"})
	holds(t, 300*time.Millisecond <= took && took < 5*time.Second, "it took %v", took)
	complete(t, receiver, messages...)
	// The credit that is left takes the next message without another flow.
	sendTexts(t, client, "queue", "d")
	equal(t, string(receiveOne(t, receiver).Body), "d")
}

func TestMessagesThatComeBetweenReceivesAreReleasedAndComeAgainSET41(t *testing.T) {
	t.Parallel()
	client := start(t).client(t)
	first := receiver(t, client, "queue", nil)
	sendTexts(t, client, "queue", "first")
	options := &azservicebus.ReceiveMessagesOptions{TimeAfterFirstMessage: time.Millisecond}
	messages, err := first.ReceiveMessages(during(t, patience), 10, options)
	must(t, err)
	// Nine credits are open: what comes now is released, before another receiver could want it.
	sendTexts(t, client, "queue", "x", "y", "z")
	second := receiver(t, client, "queue", nil)
	var found []*azservicebus.ReceivedMessage
	for len(found) < 3 {
		found = append(found, receiveOne(t, second))
		complete(t, second, found[len(found)-1])
	}
	for _, message := range found {
		holds(t, message.DeliveryCount == 1, "%s: %d deliveries", message.Body, message.DeliveryCount)
	}
	complete(t, first, messages...)
	equal(t, len(peek(t, first, 0)), 0)
}

func TestReceiveAndDeleteTakesWhatItReceivesRAD4RAD5(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	counters, client := emulator.counters(t), emulator.client(t)
	sendTexts(t, client, "queue", "a", "b", "c")
	locking := receiver(t, client, "queue", nil)
	later := receiveOne(t, locking)
	must(t, locking.DeferMessage(during(t, patience), later, nil))
	taking := receiver(t, client, "queue", takesAndKeeps)
	messages := receive(t, taking, 2)
	equal(t, bodies(messages), []string{"b", "c"})
	equal(t, messages[0].LockedUntil, nil)
	for _, err := range []error{
		taking.CompleteMessage(during(t, patience), messages[0], nil),
		taking.AbandonMessage(during(t, patience), messages[0], nil),
		taking.DeferMessage(during(t, patience), messages[0], nil),
		taking.DeadLetterMessage(during(t, patience), messages[0], nil),
	} {
		holds(t, err != nil, "settled")
	}
	equal(t, bodies(deferred(t, taking, *later.SequenceNumber)), []string{"a"})
	_, err := taking.ReceiveDeferredMessages(during(t, patience), []int64{*later.SequenceNumber}, nil)
	fails(t, err, azservicebus.CodeNotFound)
	equal(t, len(peek(t, taking, 0)), 0)
	counters.counted(t, map[string]int64{"settled-on-links": 1, "settled-by-management": 0})
}

func TestNothingIsLostWhenAReceiverThatDeletesIsClosedRAD11(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	const count = 3_000
	var sent []string
	for number := range count {
		sent = append(sent, fmt.Sprint(number))
	}
	sendTexts(t, client, "queue", sent...)
	first, err := client.NewReceiverForQueue("queue", takesAndKeeps)
	must(t, err)
	found := map[string]int{}
	keep := func(messages []*azservicebus.ReceivedMessage) {
		for _, body := range bodies(messages) {
			found[body]++
		}
	}
	options := &azservicebus.ReceiveMessagesOptions{TimeAfterFirstMessage: time.Nanosecond}
	messages, err := first.ReceiveMessages(ctx, 2_000, options)
	must(t, err)
	keep(messages)
	must(t, first.Close(ctx))
	// What had been transferred is still in the receiver.
	for {
		messages, err := first.ReceiveMessages(ctx, 100, nil)
		if err != nil {
			fails(t, err, azservicebus.CodeClosed)
			break
		}
		keep(messages)
	}
	second := receiver(t, client, "queue", takesAndKeeps)
	for len(found) < count {
		messages, err := second.ReceiveMessages(ctx, 500, options)
		must(t, err)
		keep(messages)
	}
	for body, times := range found {
		holds(t, times == 1, "%s came %d times", body, times)
	}
	equal(t, len(peek(t, second, 0)), 0)
}

func TestAnEmptyQueueGivesNothingAndALateMessageComesAtOnceCRD2(t *testing.T) {
	t.Parallel()
	client := start(t).client(t)
	receiver := receiver(t, client, "queue", nil)
	nothing(t, receiver)
	_, err := receiver.ReceiveMessages(during(t, 100*time.Millisecond), 1, nil)
	holds(t, errors.Is(err, context.DeadlineExceeded), "%v", err)
	came := make(chan []*azservicebus.ReceivedMessage)
	go func() {
		messages, _ := receiver.ReceiveMessages(during(t, patience), 1, nil)
		came <- messages
	}()
	sendTexts(t, client, "queue", "late")
	equal(t, bodies(<-came), []string{"late"})
}

func TestAReceiverReceivesOneCallAtATime(t *testing.T) {
	t.Parallel()
	client := start(t).client(t)
	receiver := receiver(t, client, "queue", nil)
	ctx, cancel := context.WithCancel(during(t, patience))
	ended := make(chan error)
	for range 2 {
		go func() {
			_, err := receiver.ReceiveMessages(ctx, 1, nil)
			ended <- err
		}()
	}
	refused := <-ended
	holds(t, refused != nil && !errors.Is(refused, context.Canceled), "%v", refused)
	cancel()
	holds(t, errors.Is(<-ended, context.Canceled), "not cancelled")
}

func TestPeekLeavesMessagesAloneAndGoesOnPEK2PEK4PEK10PEK19PEK22(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	sendTexts(t, client, "queue", "a", "b", "c")
	receiver := receiver(t, client, "queue", nil)
	var found [][]string
	for range 3 {
		messages, err := receiver.PeekMessages(ctx, 2, nil)
		must(t, err)
		found = append(found, bodies(messages))
	}
	equal(t, found, [][]string{{"a", "b"}, {"c"}, nil})
	equal(t, bodies(peek(t, receiver, 2)), []string{"b", "c"})
	equal(t, bodies(peek(t, receiver, 0)), []string{"a", "b", "c"})
	more, err := receiver.PeekMessages(ctx, 2, nil)
	must(t, err)
	equal(t, len(more), 0)

	messages := receive(t, receiver, 3)
	equal(t, bodies(messages), []string{"a", "b", "c"})
	must(t, receiver.DeferMessage(ctx, messages[1], nil))
	complete(t, receiver, messages[0], messages[2])
	peeked := peek(t, receiver, 0)
	equal(t, bodies(peeked), []string{"b"})
	equal(t, peeked[0].State, azservicebus.MessageStateDeferred)
	equal(t, *peeked[0].SequenceNumber, *messages[1].SequenceNumber)
	again := deferred(t, receiver, *messages[1].SequenceNumber)[0]
	must(t, receiver.AbandonMessage(ctx, again, nil))
	equal(t, peek(t, receiver, 0)[0].DeliveryCount, again.DeliveryCount+1)
}

func TestDeferredMessagesAreReceivedByNumberAndSettledInEveryWayDEF4DEF7DEF8(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	client, ctx := emulator.client(t), during(t, patience)
	sendTexts(t, client, "queue", "complete", "dead", "abandon", "defer")
	receiver, dead := receiver(t, client, "queue", nil), receiver(t, client, "queue", deadLetters)
	var numbers []int64
	for _, message := range receive(t, receiver, 4) {
		numbers = append(numbers, *message.SequenceNumber)
		must(t, receiver.DeferMessage(ctx, message, nil))
	}
	nothing(t, receiver)
	counters := emulator.counters(t)
	messages := deferred(t, receiver, numbers...)
	equal(t, bodies(messages), []string{"complete", "dead", "abandon", "defer"})
	for _, message := range messages {
		equal(t, message.State, azservicebus.MessageStateDeferred)
		holds(t, message.LockToken != [16]byte{} && message.LockedUntil != nil, "no lock")
	}
	must(t, receiver.RenewMessageLock(ctx, messages[0], nil))
	must(t, receiver.CompleteMessage(ctx, messages[0], nil))
	must(t, receiver.DeadLetterMessage(ctx, messages[1], &azservicebus.DeadLetterOptions{Reason: to("late")}))
	must(t, receiver.AbandonMessage(ctx, messages[2], nil))
	must(t, receiver.DeferMessage(ctx, messages[3], nil))
	counters.counted(t, map[string]int64{"settled-on-links": 0, "settled-by-management": 4, "connections-accepted": 0})
	nothing(t, receiver)
	equal(t, bodies(deferred(t, receiver, numbers[2:]...)), []string{"abandon", "defer"})
	for _, number := range numbers[:2] {
		_, err := receiver.ReceiveDeferredMessages(ctx, []int64{number}, nil)
		fails(t, err, azservicebus.CodeNotFound)
	}
	message := receiveOne(t, dead)
	equal(t, string(message.Body)+" "+*message.DeadLetterReason, "dead late")
	// A message may be deferred in the dead-letter queue as well.
	must(t, dead.DeferMessage(ctx, message, nil))
	complete(t, dead, deferred(t, dead, *message.SequenceNumber)...)
	equal(t, len(peek(t, dead, 0)), 0)
}

func TestTooManyDeliveriesAndExpiryLeadToTheDeadLetterQueue(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	send(t, client, "expiring", &azservicebus.Message{Body: []byte("old"), TimeToLive: to(time.Second)})
	sendTexts(t, client, "queue", "poison")
	poisoned, dead := receiver(t, client, "queue", nil), receiver(t, client, "queue", deadLetters)
	for count := range 3 {
		message := receiveOne(t, poisoned)
		equal(t, message.DeliveryCount, uint32(count+1))
		must(t, poisoned.AbandonMessage(ctx, message, nil))
	}
	message := receiveOne(t, dead)
	equal(t, *message.DeadLetterReason, "MaxDeliveryCountExceeded")
	equal(t, message.DeliveryCount, 4)
	// Abandoning changes nothing here (SET10).
	must(t, dead.AbandonMessage(ctx, message, nil))
	message = receiveOne(t, dead)
	equal(t, message.DeliveryCount, 4)
	complete(t, dead, message)
	nothing(t, poisoned)

	expired := receiver(t, client, "expiring", deadLetters)
	message = receiveOne(t, expired)
	equal(t, string(message.Body)+" "+*message.DeadLetterReason, "old TTLExpiredException")
	equal(t, message.ExpiresAt.Sub(*message.EnqueuedTime), time.Second)
	complete(t, expired, message)
}

func TestTheTransferDeadLetterQueueIsThere(t *testing.T) {
	t.Parallel()
	client := start(t).client(t)
	receiver := receiver(t, client, "queue", &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueTransfer})
	equal(t, len(peek(t, receiver, 0)), 0)
	nothing(t, receiver)
}

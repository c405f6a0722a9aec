package interop

// Settling: every way, with properties, on the link and by lock token; locks and their renewal.

import (
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

func TestCompleteAbandonDeferAndDeadLetterSettleOnTheLink(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	counters, client, ctx := emulator.counters(t), emulator.client(t), during(t, patience)
	sendTexts(t, client, "queue", "complete", "abandon", "defer", "dead-letter")
	on, dead := receiver(t, client, "queue", nil), receiver(t, client, "queue", deadLetters)
	messages := receive(t, on, 4)
	must(t, on.CompleteMessage(ctx, messages[0], nil))
	must(t, on.AbandonMessage(ctx, messages[1], &azservicebus.AbandonMessageOptions{
		PropertiesToModify: map[string]any{"abandoned": "once", "count": int64(1)},
	}))
	must(t, on.DeferMessage(ctx, messages[2], &azservicebus.DeferMessageOptions{
		PropertiesToModify: map[string]any{"deferred": true},
	}))
	must(t, on.DeadLetterMessage(ctx, messages[3], &azservicebus.DeadLetterOptions{
		Reason: to("why"), ErrorDescription: to("because"), PropertiesToModify: map[string]any{"dead": "yes"},
	}))
	// Abandoned messages come back at once, where they were (SET15, SET21).
	again := receiveOne(t, on)
	equal(t, string(again.Body), "abandon")
	equal(t, again.ApplicationProperties, map[string]any{"abandoned": "once", "count": int64(1)})
	equal(t, *again.SequenceNumber, *messages[1].SequenceNumber)
	equal(t, again.DeliveryCount, 2)
	holds(t, again.LockToken != messages[1].LockToken, "the same lock token")
	must(t, on.CompleteMessage(ctx, again, nil))
	counters.counted(t, map[string]int64{"connections-accepted": 1, "settled-on-links": 5, "settled-by-management": 0})

	later := deferred(t, on, *messages[2].SequenceNumber)[0]
	equal(t, later.ApplicationProperties, map[string]any{"deferred": true})
	complete(t, on, later)
	counters.counted(t, map[string]int64{"settled-on-links": 0, "settled-by-management": 1})

	found := receiveOne(t, dead)
	equal(t, string(found.Body), "dead-letter")
	equal(t, []string{*found.DeadLetterReason, *found.DeadLetterErrorDescription}, []string{"why", "because"})
	equal(t, found.ApplicationProperties, map[string]any{
		"DeadLetterReason": "why", "DeadLetterErrorDescription": "because", "dead": "yes",
	})
	equal(t, *found.SequenceNumber, *messages[3].SequenceNumber)
	// Neither way into the dead-letter queue changes the count (SET8).
	equal(t, found.DeliveryCount, 1)
	complete(t, dead, found)
	equal(t, len(peek(t, on, 0))+len(peek(t, dead, 0)), 0)
}

func TestAMessageIsSettledOnceAndNoMore(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	sendTexts(t, client, "queue", "a")
	on := receiver(t, client, "queue", nil)
	message := receiveOne(t, on)
	must(t, on.CompleteMessage(ctx, message, nil))
	// The SDK knows that it is settled, and says nothing.
	must(t, on.CompleteMessage(ctx, message, nil))
	fails(t, on.RenewMessageLock(ctx, message, nil), azservicebus.CodeLockLost)
	fails(t, on.CompleteMessage(ctx, &azservicebus.ReceivedMessage{LockToken: message.LockToken}, nil), azservicebus.CodeLockLost)
}

func TestAnotherReceiverSettlesWithNothingButTheLockTokenSET26SET40(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	client, ctx := emulator.client(t), during(t, patience)
	sendTexts(t, client, "queue", "complete", "abandon", "defer", "dead", "renew")
	first, err := client.NewReceiverForQueue("queue", nil)
	must(t, err)
	messages := receive(t, first, 5)
	must(t, first.Close(ctx))

	// Another process has only the tokens.
	other := emulator.client(t)
	on, dead := receiver(t, other, "queue", nil), receiver(t, other, "queue", deadLetters)
	tokens := byToken(messages)
	counters := emulator.counters(t)
	must(t, on.RenewMessageLock(ctx, tokens[4], nil))
	holds(t, tokens[4].LockedUntil.After(*messages[4].LockedUntil), "not renewed: %v", tokens[4].LockedUntil)
	must(t, on.CompleteMessage(ctx, tokens[0], nil))
	must(t, on.AbandonMessage(ctx, tokens[1], &azservicebus.AbandonMessageOptions{PropertiesToModify: map[string]any{"by": "token"}}))
	must(t, on.DeferMessage(ctx, tokens[2], &azservicebus.DeferMessageOptions{PropertiesToModify: map[string]any{"by": "token"}}))
	must(t, on.DeadLetterMessage(ctx, tokens[3], &azservicebus.DeadLetterOptions{
		Reason: to("why"), ErrorDescription: to("because"), PropertiesToModify: map[string]any{"by": "token"},
	}))
	must(t, on.CompleteMessage(ctx, tokens[4], nil))
	counters.counted(t, map[string]int64{"settled-on-links": 0, "settled-by-management": 5, "locks-renewed": 1})

	again := receiveOne(t, on)
	equal(t, string(again.Body), "abandon")
	equal(t, again.ApplicationProperties, map[string]any{"by": "token"})
	equal(t, again.DeliveryCount, 2)
	complete(t, on, again)
	later := deferred(t, on, *messages[2].SequenceNumber)[0]
	equal(t, later.ApplicationProperties, map[string]any{"by": "token"})
	complete(t, on, later)
	found := receiveOne(t, dead)
	equal(t, []string{*found.DeadLetterReason, *found.DeadLetterErrorDescription}, []string{"why", "because"})
	equal(t, found.ApplicationProperties["by"], any("token"))
	complete(t, dead, found)
	equal(t, len(peek(t, on, 0)), 0)
}

func TestALockThatIsOverIsLostAndTheMessageComesAgainSET31(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	sendTexts(t, client, "short", "a")
	on := receiver(t, client, "short", nil)
	message := receiveOne(t, on)
	locked := time.Until(*message.LockedUntil)
	holds(t, 3*time.Second < locked && locked <= 6*time.Second, "locked for %v", locked)
	// It comes again when the lock is over.
	again := receiveOne(t, on)
	holds(t, time.Now().After(message.LockedUntil.Add(-time.Second)), "too early")
	equal(t, again.DeliveryCount, 2)
	fails(t, on.CompleteMessage(ctx, message, nil), azservicebus.CodeLockLost)
	fails(t, on.RenewMessageLock(ctx, message, nil), azservicebus.CodeLockLost)
	complete(t, on, again)
	equal(t, len(peek(t, on, 0)), 0)
}

func TestRenewingKeepsALockLCK2LCK4(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	counters, client, ctx := emulator.counters(t), emulator.client(t), during(t, patience)
	sendTexts(t, client, "short", "a")
	on := receiver(t, client, "short", nil)
	message := receiveOne(t, on)
	end := message.LockedUntil.Add(2 * time.Second)
	for time.Now().Before(end) {
		before := *message.LockedUntil
		time.Sleep(time.Second)
		must(t, on.RenewMessageLock(ctx, message, nil))
		holds(t, message.LockedUntil.After(before), "%v, then %v", before, message.LockedUntil)
	}
	complete(t, on, message)
	counted := counters.since(t)
	holds(t, counted["locks-renewed"] >= 5, "%v", counted)
	equal(t, []int64{counted["settled-on-links"], counted["messages-delivered"]}, []int64{1, 1})
	fails(t, on.RenewMessageLock(ctx, &azservicebus.ReceivedMessage{}, nil), azservicebus.CodeLockLost)
}

func TestADeadLetteredMessageTellsWhereItCameFrom(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	sendTexts(t, client, "queue", "a")
	on, dead := receiver(t, client, "queue", nil), receiver(t, client, "queue", deadLetters)
	// Without options both texts are there, and empty.
	must(t, on.DeadLetterMessage(ctx, receiveOne(t, on), nil))
	message := receiveOne(t, dead)
	equal(t, []string{*message.DeadLetterReason, *message.DeadLetterErrorDescription}, []string{"", ""})
	// It is put back as a new message, without what the service added.
	must(t, sender(t, client, "queue").SendMessage(ctx, message.Message(), nil))
	complete(t, dead, message)
	equal(t, string(receiveOne(t, on).Body), "a")
}

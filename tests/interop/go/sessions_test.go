package interop

// Sessions: named, next available, state, renewal, lists, and what is refused.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sort"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
)

func accept(t *testing.T, client *azservicebus.Client, queue, session string) *azservicebus.SessionReceiver {
	t.Helper()
	receiver, err := client.AcceptSessionForQueue(during(t, patience), queue, session, nil)
	must(t, err)
	closing(t, receiver)
	return receiver
}

func acceptNext(t *testing.T, client *azservicebus.Client, queue string) *azservicebus.SessionReceiver {
	t.Helper()
	receiver, err := client.AcceptNextSessionForQueue(during(t, patience), queue, nil)
	must(t, err)
	closing(t, receiver)
	return receiver
}

// none expects that no session is available, by the service's own answer: the SDK asks it to answer a few milliseconds
// before its own wait ends.
func none(t *testing.T, client *azservicebus.Client, queue string) {
	t.Helper()
	eventually(t, "no session is available", func() bool {
		_, err := client.AcceptNextSessionForQueue(during(t, time.Second), queue, nil)
		holds(t, err != nil, "accepted")
		if errors.Is(err, context.DeadlineExceeded) {
			return false
		}
		fails(t, err, azservicebus.CodeTimeout)
		return true
	})
}

func sendSessions(t *testing.T, client *azservicebus.Client, entity string, sessions ...string) {
	t.Helper()
	var messages []*azservicebus.Message
	for number, session := range sessions {
		messages = append(messages, ofSession(session, fmt.Sprint(session, " ", number)))
	}
	send(t, client, entity, messages...)
}

func TestASessionGivesItsMessagesInOrderAndSettlesOnTheLinkSES13(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	counters, client, ctx := emulator.counters(t), emulator.client(t), during(t, patience)
	sendSessions(t, client, "session", "b", "a", "b", "a", "a", "a")
	on := accept(t, client, "session", "a")
	equal(t, on.SessionID(), "a")
	messages := receive(t, on, 4)
	equal(t, bodies(messages), []string{"a 1", "a 3", "a 4", "a 5"})
	must(t, on.CompleteMessage(ctx, messages[0], nil))
	must(t, on.DeferMessage(ctx, messages[2], nil))
	must(t, on.DeadLetterMessage(ctx, messages[3], &azservicebus.DeadLetterOptions{Reason: to("why")}))
	must(t, on.AbandonMessage(ctx, messages[1], &azservicebus.AbandonMessageOptions{
		PropertiesToModify: map[string]any{"tried": int64(1)},
	}))
	again := receiveOne(t, on)
	equal(t, string(again.Body), "a 3")
	equal(t, *again.SessionID, "a")
	equal(t, again.ApplicationProperties, map[string]any{"tried": int64(1)})
	complete(t, on, again)
	complete(t, on, deferred(t, on, *messages[2].SequenceNumber)...)
	equal(t, len(peek(t, on, 0)), 0)
	// Sub-queues know no sessions.
	dead := receiver(t, client, "session", deadLetters)
	message := receiveOne(t, dead)
	equal(t, []string{string(message.Body), *message.SessionID, *message.DeadLetterReason}, []string{"a 5", "a", "why"})
	complete(t, dead, message)
	counters.counted(t, map[string]int64{"connections-accepted": 1, "settled-on-links": 6, "settled-by-management": 1})
}

func TestTheNextSessionIsOneThatNobodyHoldsSES5SES8(t *testing.T) {
	t.Parallel()
	client := start(t).client(t)
	sendSessions(t, client, "session", "a", "b", "c", "d", "e")
	held := map[string]bool{}
	for range 5 {
		held[acceptNext(t, client, "session").SessionID()] = true
	}
	equal(t, held, map[string]bool{"a": true, "b": true, "c": true, "d": true, "e": true})
	none(t, client, "session")
}

func TestGivingUpHoldsNoLaterSessionSES7SES9(t *testing.T) {
	t.Parallel()
	client := start(t).client(t)
	none(t, client, "session")
	ctx, cancel := context.WithCancel(during(t, patience))
	ended := make(chan error)
	go func() {
		_, err := client.AcceptNextSessionForQueue(ctx, "session", nil)
		ended <- err
	}()
	cancel()
	holds(t, <-ended != nil, "accepted")
	sendSessions(t, client, "session", "a", "b", "c")
	for range 10 {
		on, err := client.AcceptNextSessionForQueue(during(t, patience), "session", nil)
		must(t, err)
		holds(t, len(receive(t, on, 1)) == 1, "empty")
		must(t, on.Close(during(t, patience)))
		if on.SessionID() == "c" {
			break
		}
	}
}

func TestAHeldSessionCannotBeLockedUntilItIsClosedSES3SES4SES10SES12(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	client, other := emulator.client(t), emulator.client(t)
	sendSessions(t, client, "session", "a")
	on := accept(t, client, "session", "a")
	message := receiveOne(t, on)
	for _, client := range []*azservicebus.Client{client, other} {
		began := time.Now()
		_, err := client.AcceptSessionForQueue(during(t, patience), "session", "a", nil)
		breaks(t, err, "com.microsoft:session-cannot-be-locked")
		holds(t, time.Since(began) < 3*time.Second, "it was tried again")
	}
	accept(t, client, "session", "b")
	must(t, on.Close(during(t, patience)))
	again := receiveOne(t, accept(t, other, "session", "a"))
	equal(t, *again.SequenceNumber, *message.SequenceNumber)
}

func TestTheStateOfASessionStaysUntilItIsClearedSES17ToSES21(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	state := func(on *azservicebus.SessionReceiver) []byte {
		t.Helper()
		state, err := on.GetSessionState(ctx, nil)
		must(t, err)
		return state
	}
	sendSessions(t, client, "session", "a")
	on, err := client.AcceptSessionForQueue(ctx, "session", "a", nil)
	must(t, err)
	equal(t, state(on), nil)
	must(t, on.SetSessionState(ctx, []byte("text"), nil))
	equal(t, state(on), []byte("text"))
	complete(t, on, receiveOne(t, on))
	long := bytes.Repeat([]byte{0, 255}, 1000)
	must(t, on.SetSessionState(ctx, long, nil))
	must(t, on.Close(ctx))
	on = accept(t, client, "session", "a")
	equal(t, state(on), long)
	must(t, on.SetSessionState(ctx, nil, nil))
	equal(t, state(on), nil)
	must(t, on.SetSessionState(ctx, []byte("again"), nil))
	equal(t, state(on), []byte("again"))
}

func TestRenewingMovesTheEndOfTheSessionLockSES23SES25SES26SES36(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	counters, client, ctx := emulator.counters(t), emulator.client(t), during(t, patience)
	sendSessions(t, client, "session", "a", "b")
	on := accept(t, client, "session", "a")
	before := on.LockedUntil()
	locked := time.Until(before)
	holds(t, 50*time.Second < locked && locked < 61*time.Second, "locked for %v", locked)
	eventually(t, "a renewal moves the end", func() bool {
		must(t, on.RenewSessionLock(ctx, nil))
		return on.LockedUntil().After(before)
	})
	// A message of a session may be renewed by itself: the service takes it.
	must(t, receiver(t, client, "session", deadLetters).Close(ctx))
	message := receiveOne(t, on)
	complete(t, on, message)
	taking, err := client.AcceptSessionForQueue(ctx, "session", "b", &azservicebus.SessionReceiverOptions{
		ReceiveMode: azservicebus.ReceiveModeReceiveAndDelete,
	})
	must(t, err)
	closing(t, taking)
	must(t, taking.RenewSessionLock(ctx, nil))
	equal(t, bodies(receive(t, taking, 1)), []string{"b 1"})
	holds(t, counters.since(t)["locks-renewed"] >= 2, "not renewed")
}

func TestASessionLockThatIsOverIsLostAndTheSessionIsFreeSES27SES28(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	client, ctx := emulator.client(t), during(t, patience)
	sendSessions(t, client, "short-session", "a")
	// Its link is detached later, which closing it would report.
	on, err := client.AcceptSessionForQueue(ctx, "short-session", "a", nil)
	must(t, err)
	message := receiveOne(t, on)
	// Nobody else gets it before the lock is over.
	other := acceptNext(t, emulator.client(t), "short-session")
	equal(t, other.SessionID(), "a")
	holds(t, time.Now().After(on.LockedUntil().Add(-time.Second)), "too early")
	again := receiveOne(t, other)
	equal(t, *again.SequenceNumber, *message.SequenceNumber)
	equal(t, again.DeliveryCount, 2)
	complete(t, other, again)
	// Its receiver tries to have it back, for as long as it may.
	err = on.CompleteMessage(during(t, time.Second), message, nil)
	holds(t, err != nil, "settled by somebody who does not hold the session")
	err = on.RenewSessionLock(during(t, time.Second), nil)
	holds(t, err != nil, "renewed by somebody who does not hold the session")
}

func TestTheEmptySessionIsOneSES14SND7SCH14(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	sender := sender(t, client, "session")
	must(t, sender.SendMessage(ctx, ofSession("", "sent"), nil))
	_, err := sender.ScheduleMessages(ctx, []*azservicebus.Message{ofSession("", "scheduled")}, time.Now(), nil)
	must(t, err)
	on := accept(t, client, "session", "")
	equal(t, on.SessionID(), "")
	messages := receive(t, on, 2)
	equal(t, bodies(messages), []string{"sent", "scheduled"})
	equal(t, *messages[0].SessionID, "")
	complete(t, on, messages...)
	must(t, on.Close(ctx))
	sendSessions(t, client, "session", "")
	equal(t, acceptNext(t, client, "session").SessionID(), "")
}

func TestSessionsAndEntitiesWithoutSessionsDoNotMixSES15SES16(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	plain := receiver(t, client, "session", nil)
	_, err := plain.ReceiveMessages(ctx, 1, nil)
	breaks(t, err, amqp.ErrCondNotAllowed)
	_, err = plain.PeekMessages(ctx, 1, nil)
	breaks(t, err, amqp.ErrCondNotAllowed)
	_, err = client.AcceptSessionForQueue(ctx, "queue", "a", nil)
	breaks(t, err, amqp.ErrCondNotAllowed)
	err = sender(t, client, "session").SendMessage(ctx, text("without a session"), nil)
	breaks(t, err, amqp.ErrCondNotAllowed)
	// An entity without sessions keeps the id.
	must(t, sender(t, client, "queue").SendMessage(ctx, ofSession("s", "a"), nil))
	equal(t, *receiveOne(t, receiver(t, client, "queue", nil)).SessionID, "s")
}

// listed is what a pager lists, and how many pages there were.
func listed(t *testing.T, pager interface {
	More() bool
	NextPage(context.Context) (azservicebus.ListSessionsResponse, error)
}) ([]string, int) {
	t.Helper()
	found, pages := []string{}, 0
	for pager.More() {
		page, err := pager.NextPage(during(t, patience))
		must(t, err)
		found = append(found, page.Sessions...)
		pages++
	}
	sort.Strings(found)
	return found, pages
}

func TestSessionsWithMessagesOrStateAreListedSES47ToSES51(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	found, _ := listed(t, client.NewListSessionsForQueuePager("session", nil))
	equal(t, found, []string{})
	var wanted []string
	for number := range 120 {
		wanted = append(wanted, fmt.Sprintf("session-%03d", number))
	}
	sendSessions(t, client, "session", wanted...)
	began := time.Now().Add(-time.Second)
	must(t, accept(t, client, "session", "state").SetSessionState(ctx, []byte("x"), nil))
	found, pages := listed(t, client.NewListSessionsForQueuePager("session", nil))
	equal(t, found, append(wanted, "state"))
	equal(t, pages, 2)
	after := func(when time.Time) *azservicebus.ListSessionsOptions {
		return &azservicebus.ListSessionsOptions{SessionStateUpdatedAfter: &when}
	}
	found, _ = listed(t, client.NewListSessionsForQueuePager("session", after(began)))
	equal(t, found, []string{"state"})
	found, _ = listed(t, client.NewListSessionsForQueuePager("session", after(time.Now().Add(time.Hour))))
	equal(t, found, []string{})

	send(t, client, "topic", ofSession("of-topic", "x"))
	found, _ = listed(t, client.NewListSessionsForSubscriptionPager("topic", "session", nil))
	equal(t, found, []string{"of-topic"})
	_, err := client.NewListSessionsForQueuePager("nowhere", nil).NextPage(ctx)
	fails(t, err, azservicebus.CodeNotFound)
}

func TestASessionOfASubscriptionIsAccepted(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	send(t, client, "topic", ofSession("a", "1"), ofSession("b", "2"))
	named, err := client.AcceptSessionForSubscription(ctx, "topic", "session", "b", nil)
	must(t, err)
	closing(t, named)
	next, err := client.AcceptNextSessionForSubscription(ctx, "topic", "session", nil)
	must(t, err)
	closing(t, next)
	equal(t, next.SessionID(), "a")
	equal(t, bodies(append(receive(t, named, 1), receive(t, next, 1)...)), []string{"2", "1"})
}

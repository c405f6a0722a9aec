package interop

// Recovery: connections that are closed or cut, links that are detached, entities that are updated in between.

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"
)

// update writes the queue as it is, upon which the service detaches its links.
func update(t *testing.T, client *admin.Client, queue string) {
	t.Helper()
	found, err := client.GetQueue(during(t, patience), queue, nil)
	must(t, err)
	_, err = client.UpdateQueue(during(t, patience), queue, found.QueueProperties, nil)
	must(t, err)
}

// breakers are the ways in which what a client has open ends; each begins anew with the emulator and the client's
// connection string.
var breakers = map[string]func(*testing.T, *emulator) (connectionString string, breaks func()){
	"closed by the service": func(t *testing.T, e *emulator) (string, func()) {
		return e.connectionString, func() { e.order(t, "connections") }
	},
	"cut": func(t *testing.T, e *emulator) (string, func()) {
		proxy := between(t, e.plain)
		return proxy.through(e), proxy.cut
	},
	"detached": func(t *testing.T, e *emulator) (string, func()) {
		return e.connectionString, func() {
			e.order(t, "links/queue")
			e.order(t, "links/session")
		}
	},
	"updated": func(t *testing.T, e *emulator) (string, func()) {
		admin := e.administration(t)
		return e.connectionString, func() {
			update(t, admin, "queue")
			update(t, admin, "session")
		}
	},
}

// broken runs a test with every breaker.
func broken(t *testing.T, test func(t *testing.T, e *emulator, client *azservicebus.Client, breaks func())) {
	for name, begin := range breakers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			emulator := start(t)
			connectionString, breaks := begin(t, emulator)
			test(t, emulator, connect(t, connectionString, &azservicebus.ClientOptions{RetryOptions: quick}), breaks)
		})
	}
}

func TestSendsGoOnWithoutLossOrDuplicatesSND48(t *testing.T) {
	t.Parallel()
	broken(t, func(t *testing.T, e *emulator, client *azservicebus.Client, breaks func()) {
		ctx := during(t, patience)
		sender, err := client.NewSender("queue", nil)
		must(t, err)
		var wanted []string
		for number := range 10 {
			must(t, sender.SendMessage(ctx, text(fmt.Sprint("single ", number)), nil))
			breaks()
			batch, err := sender.NewMessageBatch(ctx, nil)
			must(t, err)
			must(t, batch.AddMessage(text(fmt.Sprint("batch ", number)), nil))
			breaks()
			must(t, sender.SendMessageBatch(ctx, batch, nil))
			breaks()
			wanted = append(wanted, fmt.Sprint("single ", number), fmt.Sprint("batch ", number))
		}
		numbers, err := sender.ScheduleMessages(ctx, []*azservicebus.Message{text("scheduled")}, timeIn(3600), nil)
		must(t, err)
		breaks()
		must(t, sender.CancelScheduledMessages(ctx, numbers, nil))
		// The test's own client was there for none of it.
		on := receiver(t, e.client(t), "queue", nil)
		equal(t, bodies(peek(t, on, 0)), wanted)
	})
}

func TestReceivesGoOnAndEveryMessageIsSettledPEK20(t *testing.T) {
	t.Parallel()
	broken(t, func(t *testing.T, e *emulator, client *azservicebus.Client, breaks func()) {
		ctx := during(t, patience)
		on, err := client.NewReceiverForQueue("queue", nil)
		must(t, err)
		other := e.client(t)
		for number := range 5 {
			sendTexts(t, other, "queue", fmt.Sprint(number))
			messages := receive(t, on, 1)
			equal(t, string(messages[0].Body), fmt.Sprint(number))
			breaks()
			// A settlement would wait four seconds before its second attempt, whatever the options say.
			equal(t, bodies(peek(t, on, 0)), bodies(messages))
			must(t, on.CompleteMessage(ctx, byToken(messages)[0], nil))
			breaks()
			equal(t, len(peek(t, on, 0)), 0)
		}
		breaks()
		sendTexts(t, other, "queue", "waited for")
		equal(t, bodies(receive(t, on, 1)), []string{"waited for"})
	})
}

// byToken is messages as another process would settle them. A message that has its delivery would be settled on the link
// that it came on: after a detach the SDK turns to $management by itself, after the end of the connection it does not.
func byToken(messages []*azservicebus.ReceivedMessage) []*azservicebus.ReceivedMessage {
	var tokens []*azservicebus.ReceivedMessage
	for _, message := range messages {
		tokens = append(tokens, &azservicebus.ReceivedMessage{LockToken: message.LockToken})
	}
	return tokens
}

func TestADetachWhileMessagesAreSettledLosesNoneSET26CRD14(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	client, ctx := emulator.client(t), during(t, patience)
	const count = 200
	var sent []string
	for number := range count {
		sent = append(sent, fmt.Sprint(number))
	}
	// Locks of five seconds: what a detach overtakes on its way to the SDK is locked by a link that is gone.
	sendTexts(t, client, "short", sent...)
	// Its link is detached in the end, which closing it would report.
	on, err := client.NewReceiverForQueue("short", nil)
	must(t, err)
	stop := make(chan struct{})
	var detaching sync.WaitGroup
	detaching.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				emulator.order(t, "links/short")
			}
		}
	})
	completed := map[string]bool{}
	for len(completed) < count {
		messages, err := on.ReceiveMessages(ctx, 20, nil)
		must(t, err)
		var wait sync.WaitGroup
		errs := make([]error, len(messages))
		for index, message := range messages {
			wait.Go(func() { errs[index] = on.CompleteMessage(ctx, message, nil) })
		}
		wait.Wait()
		for index, message := range messages {
			// Where a detach overtakes the confirmation, the SDK tries again by the lock, which is gone with the message.
			if errs[index] != nil {
				fails(t, errs[index], azservicebus.CodeLockLost)
			}
			completed[string(message.Body)] = true
		}
	}
	close(stop)
	detaching.Wait()
	for len(peek(t, on, 0)) > 0 {
		must(t, on.CompleteMessage(ctx, receiveOne(t, on), nil))
	}
}

func TestEverySettlementWorksAfterTheLinkIsGone(t *testing.T) {
	t.Parallel()
	broken(t, func(t *testing.T, e *emulator, client *azservicebus.Client, breaks func()) {
		ctx := during(t, patience)
		sendTexts(t, client, "queue", "complete", "abandon", "defer", "dead", "renew")
		on, err := client.NewReceiverForQueue("queue", nil)
		must(t, err)
		received := receive(t, on, 5)
		messages := byToken(received)
		breaks()
		must(t, on.RenewMessageLock(ctx, messages[4], nil))
		must(t, on.CompleteMessage(ctx, messages[0], nil))
		must(t, on.AbandonMessage(ctx, messages[1], nil))
		must(t, on.DeferMessage(ctx, messages[2], nil))
		must(t, on.DeadLetterMessage(ctx, messages[3], &azservicebus.DeadLetterOptions{Reason: to("why")}))
		must(t, on.CompleteMessage(ctx, messages[4], nil))
		again := receiveOne(t, on)
		equal(t, string(again.Body), "abandon")
		equal(t, again.DeliveryCount, 2)
		complete(t, on, again)
		complete(t, on, deferred(t, on, *received[2].SequenceNumber)...)
		equal(t, len(peek(t, on, 0)), 0)
		equal(t, string(receiveOne(t, receiver(t, client, "queue", deadLetters)).Body), "dead")
	})
}

func TestASessionIsAcceptedAgainByItsReceiverSES11SES32(t *testing.T) {
	t.Parallel()
	broken(t, func(t *testing.T, e *emulator, client *azservicebus.Client, breaks func()) {
		ctx := during(t, patience)
		sendSessions(t, client, "session", "a", "b")
		on, err := client.AcceptSessionForQueue(ctx, "session", "a", nil)
		must(t, err)
		must(t, on.SetSessionState(ctx, []byte("state"), nil))
		breaks()
		state, err := on.GetSessionState(ctx, nil)
		must(t, err)
		equal(t, string(state), "state")
		breaks()
		messages := receive(t, on, 1)
		equal(t, bodies(messages), []string{"a 0"})
		must(t, on.RenewSessionLock(ctx, nil))
		complete(t, on, messages...)
		equal(t, on.SessionID(), "a")
	})
}

func TestAReceiverThatWaitsHearsOfTheEndAndGoesOn(t *testing.T) {
	t.Parallel()
	broken(t, func(t *testing.T, e *emulator, client *azservicebus.Client, breaks func()) {
		on, err := client.NewReceiverForQueue("queue", nil)
		must(t, err)
		came, counters, sender := make(chan string), e.counters(t), sender(t, e.client(t), "queue")
		go func() {
			for {
				messages, err := on.ReceiveMessages(during(t, patience), 1, nil)
				var failure *azservicebus.Error
				switch {
				case errors.As(err, &failure) && failure.Code == azservicebus.CodeConnectionLost:
				case err != nil:
					came <- err.Error()
					return
				case len(messages) > 0:
					came <- string(messages[0].Body)
					return
				}
			}
		}()
		// Two tokens, each over two links, then the receiver and two links for requests.
		counters.reach(t, "links-attached", 7)
		breaks()
		must(t, sender.SendMessage(during(t, patience), text("late"), nil))
		equal(t, <-came, "late")
	})
}

func TestIdleLinksComeBackAtOnceWhateverTheDelayBetweenAttempts(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	patient := azservicebus.RetryOptions{RetryDelay: time.Hour, MaxRetryDelay: time.Hour}
	client := connect(t, emulator.connectionString, &azservicebus.ClientOptions{RetryOptions: patient})
	sender, on := sender(t, client, "queue"), receiver(t, client, "queue", nil)
	must(t, sender.SendMessage(during(t, patience), text("before"), nil))
	complete(t, on, receiveOne(t, on))
	// As the service does to links that were idle for ten minutes.
	emulator.order(t, "links/queue")
	must(t, sender.SendMessage(during(t, 5*time.Second), text("after"), nil))
	complete(t, on, receiveOne(t, on))
}

func TestReceiveAndDeleteGoesOnAfterADetachRAD9(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	client := emulator.client(t)
	on := receiver(t, client, "queue", takesAndKeeps)
	for number := range 5 {
		sendTexts(t, client, "queue", fmt.Sprint(number))
		emulator.order(t, "links/queue")
		equal(t, bodies(receive(t, on, 1)), []string{fmt.Sprint(number)})
	}
}

func TestManyUsersOfOneConnectionRecoverTogether(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	client, ctx := emulator.client(t), during(t, patience)
	var wait sync.WaitGroup
	for user := range 20 {
		sender := sender(t, client, "queue")
		wait.Go(func() {
			for number := range 10 {
				if err := sender.SendMessage(ctx, text(fmt.Sprint(user, " ", number)), nil); err != nil {
					t.Errorf("%d %d: %v", user, number, err)
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { wait.Wait(); close(ended) }()
	for range 3 {
		emulator.order(t, "connections")
	}
	<-ended
	found := map[string]bool{}
	for _, message := range peek(t, receiver(t, client, "queue", nil), 0) {
		found[string(message.Body)] = true
	}
	holds(t, len(found) == 100, "a peek has a hundred at most, not %d", len(found))
}

package interop

// The scenarios under which the SDK is stressed, cut to seconds (docs/evidence/invariants.md §3).

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// together runs so many at once and expects no error of any.
func together(t *testing.T, count int, work func(number int) error) {
	t.Helper()
	var wait sync.WaitGroup
	errs := make([]error, count)
	for number := range count {
		wait.Go(func() { errs[number] = work(number) })
	}
	wait.Wait()
	must(t, errors.Join(errs...))
}

func TestClientsOpenAndCloseRapidly(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	counters := emulator.counters(t)
	const clients, rounds = 20, 5
	together(t, clients, func(int) error {
		ctx := during(t, patience)
		client, err := azservicebus.NewClientFromConnectionString(emulator.connectionString, nil)
		for range rounds {
			if err != nil {
				return err
			}
			err = openSendReceiveClose(ctx, client)
		}
		return errors.Join(err, client.Close(ctx))
	})
	counters.counted(t, map[string]int64{
		"connections-accepted": clients, "messages-sent": clients * rounds, "settled-on-links": clients * rounds,
		"settled-by-management": 0,
	})
	eventually(t, "every connection is over", func() bool { return emulator.statistics(t)["connections-open"] == 0 })
}

func openSendReceiveClose(ctx context.Context, client *azservicebus.Client) error {
	sender, err := client.NewSender("queue", nil)
	if err != nil {
		return err
	}
	if err := errors.Join(sender.SendMessage(ctx, text("x"), nil), sender.Close(ctx)); err != nil {
		return err
	}
	receiver, err := client.NewReceiverForQueue("queue", nil)
	if err != nil {
		return err
	}
	messages, err := receiver.ReceiveMessages(ctx, 1, nil)
	if err != nil {
		return err
	}
	return errors.Join(receiver.CompleteMessage(ctx, messages[0], nil), receiver.Close(ctx))
}

func TestManySessionsAreAcceptedAtOnceAndGiveOneMessageEach(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	const count = 100
	for range 2 {
		var sessions []string
		for number := range count {
			sessions = append(sessions, fmt.Sprint("session-", number))
		}
		sendSessions(t, client, "session", sessions...)
		receivers := make([]*azservicebus.SessionReceiver, count)
		together(t, count, func(number int) error {
			receiver, err := client.AcceptNextSessionForQueue(ctx, "session", nil)
			if err != nil {
				return err
			}
			receivers[number] = receiver
			messages, err := receiver.ReceiveMessages(ctx, 10, nil)
			if err != nil {
				return err
			}
			if len(messages) != 1 || *messages[0].SessionID != receiver.SessionID() {
				return fmt.Errorf("session %s has %v", receiver.SessionID(), bodies(messages))
			}
			return receiver.CompleteMessage(ctx, messages[0], nil)
		})
		together(t, count, func(number int) error { return receivers[number].Close(ctx) })
	}
}

func TestManyWaitForSessionsThatAreNotThere(t *testing.T) {
	t.Parallel()
	client := start(t).client(t)
	together(t, 50, func(int) error {
		for range 3 {
			_, err := client.AcceptNextSessionForQueue(during(t, time.Second), "session", nil)
			var failure *azservicebus.Error
			// A wait that ends in the middle of showing a token leaves the connection to be made anew.
			known := errors.As(err, &failure) && (failure.Code == azservicebus.CodeTimeout || failure.Code == azservicebus.CodeConnectionLost)
			if !known && !errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("accepted, or another error: %w", err)
			}
		}
		return nil
	})
	sendSessions(t, client, "session", "a")
	equal(t, acceptNext(t, client, "session").SessionID(), "a")
}

func TestReceivesThatEndBeforeTheyBeginHarmNothing(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	counters, client := emulator.counters(t), emulator.client(t)
	on := receiver(t, client, "queue", nil)
	// The link is up before a wait ends: one that ends in the middle of showing a token leaves the connection to be made anew.
	sendTexts(t, client, "queue", "first")
	complete(t, on, receiveOne(t, on))
	for range 2_000 {
		ctx, cancel := context.WithTimeout(context.Background(), 0)
		messages, err := on.ReceiveMessages(ctx, 95, nil)
		cancel()
		holds(t, len(messages) == 0 && errors.Is(err, context.DeadlineExceeded), "%v", err)
	}
	sendTexts(t, client, "queue", "a", "b")
	messages := receive(t, on, 2)
	complete(t, on, messages...)
	counters.counted(t, map[string]int64{"connections-accepted": 1, "settled-by-management": 0})
}

func TestALockedMessageIsPeekedOverAndOver(t *testing.T) {
	t.Parallel()
	client := start(t).client(t)
	sendTexts(t, client, "queue", "a")
	on := receiver(t, client, "queue", nil)
	message := receiveOne(t, on)
	for range 500 {
		equal(t, bodies(peek(t, on, 0)), []string{"a"})
	}
	complete(t, on, message)
}

func TestRoundsOfManyMessagesLeaveNothingAndRepeatNothing(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	client, ctx := emulator.client(t), during(t, patience)
	const rounds, count = 4, 400
	sender, on := sender(t, client, "queue"), receiver(t, client, "queue", nil)
	padding := strings.Repeat("x", 4<<10)
	for round := range rounds {
		together(t, 20, func(worker int) error {
			for number := range count / 20 {
				message := text(fmt.Sprint(round, " ", worker, " ", number, " ", padding))
				if err := sender.SendMessage(ctx, message, nil); err != nil {
					return err
				}
			}
			return nil
		})
		seen := map[string]bool{}
		for len(seen) < count {
			messages, err := on.ReceiveMessages(ctx, 150, nil)
			must(t, err)
			together(t, len(messages), func(index int) error {
				return on.CompleteMessage(ctx, messages[index], nil)
			})
			for _, body := range bodies(messages) {
				holds(t, !seen[body] && strings.HasPrefix(body, fmt.Sprint(round, " ")), "%.20s came twice or late", body)
				seen[body] = true
			}
		}
		equal(t, len(peek(t, on, 0)), 0)
	}
}

func TestMessagesOfOneReceiverAreAbandonedByAnother(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	client, ctx := emulator.client(t), during(t, patience)
	const count = 100
	var sent []string
	for number := range count {
		sent = append(sent, fmt.Sprint(number))
	}
	sendTexts(t, client, "queue", sent...)
	one, other := receiver(t, client, "queue", nil), receiver(t, client, "queue", nil)
	for delivery := range 2 {
		messages := receive(t, one, count)
		together(t, count, func(index int) error {
			if messages[index].DeliveryCount != uint32(delivery+1) {
				return fmt.Errorf("%d deliveries", messages[index].DeliveryCount)
			}
			return other.AbandonMessage(ctx, byToken(messages)[index], nil)
		})
	}
	complete(t, one, receive(t, one, count)...)
	equal(t, len(peek(t, other, 0)), 0)
}

func TestManySendersAndReceiversShareOneConnectionCRD11(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	counters, client, ctx := emulator.counters(t), emulator.client(t), during(t, patience)
	const users, each = 25, 20
	entities := []string{"queue", "short", "large", "expiring"}
	var mutex sync.Mutex
	found := map[string]int{}
	together(t, 2*users, func(number int) error {
		user, entity := number/2, entities[(number/2)%len(entities)]
		if number%2 == 0 {
			sender, err := client.NewSender(entity, nil)
			for message := range each {
				if err != nil {
					return err
				}
				err = sender.SendMessage(ctx, text(fmt.Sprint(user, " ", message)), nil)
			}
			return errors.Join(err, sender.Close(ctx))
		}
		receiver, err := client.NewReceiverForQueue(entity, nil)
		if err != nil {
			return err
		}
		for taken := 0; taken < each; {
			messages, err := receiver.ReceiveMessages(ctx, each-taken, nil)
			if err != nil {
				return err
			}
			for _, message := range messages {
				if err := receiver.CompleteMessage(ctx, message, nil); err != nil {
					return err
				}
				mutex.Lock()
				found[string(message.Body)]++
				mutex.Unlock()
			}
			taken += len(messages)
		}
		return receiver.Close(ctx)
	})
	equal(t, len(found), users*each)
	counters.counted(t, map[string]int64{"connections-accepted": 1, "settled-by-management": 0})
}

package interop

import (
	"context"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// receiving is what receivers with and without sessions have in common.
type receiving interface {
	ReceiveMessages(context.Context, int, *azservicebus.ReceiveMessagesOptions) ([]*azservicebus.ReceivedMessage, error)
	ReceiveDeferredMessages(context.Context, []int64, *azservicebus.ReceiveDeferredMessagesOptions) ([]*azservicebus.ReceivedMessage, error)
	PeekMessages(context.Context, int, *azservicebus.PeekMessagesOptions) ([]*azservicebus.ReceivedMessage, error)
	CompleteMessage(context.Context, *azservicebus.ReceivedMessage, *azservicebus.CompleteMessageOptions) error
	AbandonMessage(context.Context, *azservicebus.ReceivedMessage, *azservicebus.AbandonMessageOptions) error
	DeferMessage(context.Context, *azservicebus.ReceivedMessage, *azservicebus.DeferMessageOptions) error
	DeadLetterMessage(context.Context, *azservicebus.ReceivedMessage, *azservicebus.DeadLetterOptions) error
	Close(context.Context) error
}

var (
	deadLetters   = &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter}
	takesAndKeeps = &azservicebus.ReceiverOptions{ReceiveMode: azservicebus.ReceiveModeReceiveAndDelete}
)

func text(body string) *azservicebus.Message {
	return &azservicebus.Message{Body: []byte(body)}
}

func ofSession(session, body string) *azservicebus.Message {
	return &azservicebus.Message{Body: []byte(body), SessionID: &session}
}

func sender(t *testing.T, client *azservicebus.Client, entity string) *azservicebus.Sender {
	t.Helper()
	sender, err := client.NewSender(entity, nil)
	must(t, err)
	closing(t, sender)
	return sender
}

func receiver(t *testing.T, client *azservicebus.Client, queue string, options *azservicebus.ReceiverOptions) *azservicebus.Receiver {
	t.Helper()
	receiver, err := client.NewReceiverForQueue(queue, options)
	must(t, err)
	closing(t, receiver)
	return receiver
}

// send sends messages in one batch, over a sender of its own.
func send(t *testing.T, client *azservicebus.Client, entity string, messages ...*azservicebus.Message) {
	t.Helper()
	ctx := during(t, patience)
	sender, err := client.NewSender(entity, nil)
	must(t, err)
	batch, err := sender.NewMessageBatch(ctx, nil)
	must(t, err)
	for _, message := range messages {
		must(t, batch.AddMessage(message, nil))
	}
	must(t, sender.SendMessageBatch(ctx, batch, nil))
	must(t, sender.Close(ctx))
}

func sendTexts(t *testing.T, client *azservicebus.Client, entity string, bodies ...string) {
	t.Helper()
	var messages []*azservicebus.Message
	for _, body := range bodies {
		messages = append(messages, text(body))
	}
	send(t, client, entity, messages...)
}

// unhurried waits for the rest of the messages that were asked for: those that come after the call has ended are released
// by the SDK, and delivered again out of their order.
var unhurried = &azservicebus.ReceiveMessagesOptions{TimeAfterFirstMessage: 5 * time.Second}

// receive receives so many messages, in as many calls as it takes.
func receive(t *testing.T, from receiving, count int) []*azservicebus.ReceivedMessage {
	t.Helper()
	ctx := during(t, patience)
	var messages []*azservicebus.ReceivedMessage
	for len(messages) < count {
		more, err := from.ReceiveMessages(ctx, count-len(messages), unhurried)
		if err != nil {
			t.Fatalf("%d of %d messages came: %v", len(messages), count, err)
		}
		messages = append(messages, more...)
	}
	return messages
}

func receiveOne(t *testing.T, from receiving) *azservicebus.ReceivedMessage {
	t.Helper()
	return receive(t, from, 1)[0]
}

// nothing expects that no message comes for a while.
func nothing(t *testing.T, from receiving) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	messages, err := from.ReceiveMessages(ctx, 1, nil)
	if err == nil || ctx.Err() == nil {
		t.Fatalf("%v, %v came", bodies(messages), err)
	}
}

func peek(t *testing.T, from receiving, first int64) []*azservicebus.ReceivedMessage {
	t.Helper()
	options := &azservicebus.PeekMessagesOptions{FromSequenceNumber: &first}
	messages, err := from.PeekMessages(during(t, patience), 100, options)
	must(t, err)
	return messages
}

func deferred(t *testing.T, from receiving, numbers ...int64) []*azservicebus.ReceivedMessage {
	t.Helper()
	messages, err := from.ReceiveDeferredMessages(during(t, patience), numbers, nil)
	must(t, err)
	return messages
}

func complete(t *testing.T, on receiving, messages ...*azservicebus.ReceivedMessage) {
	t.Helper()
	for _, message := range messages {
		must(t, on.CompleteMessage(during(t, patience), message, nil))
	}
}

func bodies(messages []*azservicebus.ReceivedMessage) []string {
	var found []string
	for _, message := range messages {
		found = append(found, string(message.Body))
	}
	return found
}

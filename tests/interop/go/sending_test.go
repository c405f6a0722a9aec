package interop

// Sending: single messages, batches, fields, types, bodies, schedules.

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
)

func TestEveryFieldArrivesAndAReceivedMessageCanBeSentAgainSND30(t *testing.T) {
	t.Parallel()
	client := start(t).client(t)
	sent := &azservicebus.Message{
		Body: []byte("\x00\xffbody"), MessageID: to("id"), CorrelationID: to("correlation"), Subject: to("subject"),
		ContentType: to("text/plain"), To: to("to"), ReplyTo: to("reply"), ReplyToSessionID: to("reply-session"),
		SessionID: to("session"), PartitionKey: to("session"), TimeToLive: to(time.Minute),
		ApplicationProperties: map[string]any{"key": "value"},
	}
	sender, receiver := sender(t, client, "queue"), receiver(t, client, "queue", nil)
	before := time.Now().Add(-time.Second)
	must(t, sender.SendMessage(during(t, patience), sent, nil))
	first := receiveOne(t, receiver)
	must(t, sender.SendMessage(during(t, patience), first.Message(), nil))
	second := receiveOne(t, receiver)
	for _, found := range []*azservicebus.ReceivedMessage{first, second} {
		equal(t, found.Message(), sent)
		equal(t, found.State, azservicebus.MessageStateActive)
		equal(t, found.DeliveryCount, 1)
		enqueued := *found.EnqueuedTime
		holds(t, before.Before(enqueued) && enqueued.Before(time.Now().Add(time.Second)), "enqueued at %v", enqueued)
		equal(t, *found.ExpiresAt, enqueued.Add(time.Minute))
		locked := found.LockedUntil.Sub(time.Now())
		holds(t, 55*time.Second < locked && locked < 61*time.Second, "locked for %v", locked)
		equal(t, found.DeadLetterReason, nil)
		complete(t, receiver, found)
	}
	equal(t, []int64{*first.SequenceNumber, *second.SequenceNumber}, []int64{1, 2})
	holds(t, first.LockToken != second.LockToken, "one token for both")
}

func TestAMessageWithoutFieldsHasTheServicesAnnotationsAndNoOthersSND36(t *testing.T) {
	t.Parallel()
	client := start(t).client(t)
	must(t, sender(t, client, "queue").SendMessage(during(t, patience), &azservicebus.Message{}, nil))
	found := receiveOne(t, receiver(t, client, "queue", nil)).RawAMQPMessage
	kinds := map[string]string{}
	for key, value := range found.MessageAnnotations {
		kinds[key.(string)] = fmt.Sprintf("%T", value)
	}
	equal(t, kinds, map[string]string{
		"x-opt-enqueued-time": "time.Time", "x-opt-locked-until": "time.Time", "x-opt-sequence-number": "int64",
	})
	equal(t, len(found.DeliveryAnnotations), 1)
	_, ok := found.DeliveryAnnotations["x-opt-lock-token"].(amqp.UUID)
	holds(t, ok, "no lock token in %v", found.DeliveryAnnotations)
}

func TestApplicationPropertiesKeepTheirTypesSND24(t *testing.T) {
	t.Parallel()
	client := start(t).client(t)
	sent := map[string]any{
		"nil": nil, "bool": true, "uint8": uint8(200), "int8": int8(-100), "uint16": uint16(60_000), "int16": int16(-30_000),
		"uint32": uint32(4_000_000_000), "int32": int32(-2_000_000_000), "small": int32(-7), "uint64": uint64(math.MaxUint64),
		"int64": int64(math.MinInt64), "float32": float32(21.5), "float64": 1.0 / 3, "string": "täxt", "empty": "",
		"bytes": []byte{0, 255}, "time": time.Date(2000, 1, 1, 1, 2, 3, 0, time.UTC), "uuid": amqp.UUID{1, 2, 15: 3},
	}
	sender, receiver := sender(t, client, "queue"), receiver(t, client, "queue", takesAndKeeps)
	must(t, sender.SendMessage(during(t, patience), &azservicebus.Message{ApplicationProperties: sent}, nil))
	found := receiveOne(t, receiver).ApplicationProperties
	found["time"] = found["time"].(time.Time).UTC()
	equal(t, found, sent)
	// What Go calls int is a long.
	must(t, sender.SendMessage(during(t, patience), &azservicebus.Message{ApplicationProperties: map[string]any{"int": 400}}, nil))
	equal(t, receiveOne(t, receiver).ApplicationProperties, map[string]any{"int": int64(400)})
}

func TestEverySectionOfAnAnnotatedMessageArrivesSND31SND34SND38(t *testing.T) {
	t.Parallel()
	client := start(t).client(t)
	when := time.UnixMilli(1_580_702_706_789).UTC()
	sent := &azservicebus.AMQPAnnotatedMessage{
		Header: &azservicebus.AMQPAnnotatedMessageHeader{Durable: true, Priority: 100, TTL: time.Minute},
		Properties: &azservicebus.AMQPAnnotatedMessageProperties{
			MessageID: "id", CorrelationID: uint64(7), UserID: []byte{1, 255}, To: to("to"), Subject: to("subject"),
			ReplyTo: to("reply"), ContentType: to("type"), ContentEncoding: to("encoding"), GroupID: to("group"),
			GroupSequence: to(uint32(3)), ReplyToGroupID: to("reply-group"), CreationTime: &when,
			AbsoluteExpiryTime: to(when.Add(time.Minute)),
		},
		MessageAnnotations:    map[any]any{"x-opt-own": int32(5), "own": "annotation"},
		DeliveryAnnotations:   map[any]any{"own": "delivery"},
		ApplicationProperties: map[string]any{"key": "value"},
		Footer:                map[any]any{"foot": "note"},
		Body:                  azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{{0, 255}, {}, []byte("A")}},
	}
	must(t, sender(t, client, "queue").SendAMQPAnnotatedMessage(during(t, patience), sent, nil))
	message := receiveOne(t, receiver(t, client, "queue", nil))
	found := message.RawAMQPMessage
	equal(t, message.Body, nil)
	equal(t, found.Body.Data, sent.Body.Data)
	equal(t, *found.Header, azservicebus.AMQPAnnotatedMessageHeader{Durable: true, Priority: 100, TTL: time.Minute})
	// The service tells these two itself.
	found.Properties.CreationTime, found.Properties.AbsoluteExpiryTime = sent.Properties.CreationTime, sent.Properties.AbsoluteExpiryTime
	equal(t, found.Properties, sent.Properties)
	for key, value := range sent.MessageAnnotations {
		equal(t, found.MessageAnnotations[key], value)
	}
	equal(t, found.DeliveryAnnotations["own"], any("delivery"))
	equal(t, found.ApplicationProperties, sent.ApplicationProperties)
	equal(t, found.Footer, sent.Footer)
}

func TestBodiesOfEveryKindArriveSND39SND41(t *testing.T) {
	t.Parallel()
	client := start(t).client(t)
	sender, receiver := sender(t, client, "queue"), receiver(t, client, "queue", takesAndKeeps)
	for _, body := range []azservicebus.AMQPAnnotatedMessageBody{
		{Value: 100.0}, {Value: int64(101)}, {Value: "text"}, {Value: []byte{0, 255}}, {Value: []string{"a", "b"}},
		{Value: map[string]any{"a": int64(7), "b": []any{true, "x"}}},
		{Sequence: [][]any{{"first", int64(1)}, {"second", 2.5}}},
		{Data: [][]byte{[]byte("one"), []byte("two")}},
		{},
	} {
		must(t, sender.SendAMQPAnnotatedMessage(during(t, patience), &azservicebus.AMQPAnnotatedMessage{Body: body}, nil))
		equal(t, receiveOne(t, receiver).RawAMQPMessage.Body, body)
	}
}

func TestAnnotationsThatAreNullAreTakenAsTheServiceTakesThemSND43SND44SND45(t *testing.T) {
	t.Parallel()
	// The SDK gives a connection up on the condition that the refusal has: one attempt, so that it stays.
	client := connect(t, start(t).connectionString, &azservicebus.ClientOptions{RetryOptions: once})
	sender, receiver := sender(t, client, "queue"), receiver(t, client, "queue", nil)
	with := func(name string) *azservicebus.AMQPAnnotatedMessage {
		return &azservicebus.AMQPAnnotatedMessage{
			MessageAnnotations: map[any]any{name: nil},
			Body:               azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte(name)}},
		}
	}
	for _, name := range []string{"x-opt-partition-key", "x-opt-deadletter-source"} {
		must(t, sender.SendAMQPAnnotatedMessage(during(t, patience), with(name), nil))
		message := receiveOne(t, receiver)
		value, there := message.RawAMQPMessage.MessageAnnotations[name]
		holds(t, there && value == nil, "%s: %v", name, value)
		equal(t, message.PartitionKey, nil)
	}
	for _, name := range []string{"x-opt-locked-until", "x-opt-sequence-number", "x-opt-enqueued-time"} {
		must(t, sender.SendAMQPAnnotatedMessage(during(t, patience), with(name), nil))
		holds(t, receiveOne(t, receiver).RawAMQPMessage.MessageAnnotations[name] != nil, "%s is null", name)
	}
	for _, name := range []string{"x-opt-scheduled-enqueue-time", "x-opt-message-state", "x-opt-enqueue-sequence-number"} {
		err := sender.SendAMQPAnnotatedMessage(during(t, patience), with(name), nil)
		holds(t, err != nil, "%s was taken", name)
	}
	nothing(t, receiver)
}

func TestABatchTakesWhatFitsAndKeepsItsOrder(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	counters, client, ctx := emulator.counters(t), emulator.client(t), during(t, patience)
	sender, receiver := sender(t, client, "queue"), receiver(t, client, "queue", nil)
	batch, err := sender.NewMessageBatch(ctx, nil)
	must(t, err)
	body, count := bytes.Repeat([]byte("x"), 1000), 0
	for ; ; count++ {
		body = fmt.Appendf(body[:0], "%-1000d", count)
		err := batch.AddMessage(&azservicebus.Message{Body: body}, nil)
		if errors.Is(err, azservicebus.ErrMessageTooLarge) {
			break
		}
		must(t, err)
	}
	holds(t, count > 200 && batch.NumMessages() == int32(count), "%d messages", count)
	holds(t, 260_000 < batch.NumBytes() && batch.NumBytes() <= 262_144, "%d bytes", batch.NumBytes())
	must(t, sender.SendMessageBatch(ctx, batch, nil))
	for number, message := range receive(t, receiver, count) {
		equal(t, string(message.Body), fmt.Sprintf("%-1000d", number))
		holds(t, message.MessageID != "", "the SDK gives every message of a batch an id")
		complete(t, receiver, message)
	}
	counters.counted(t, map[string]int64{
		"connections-accepted": 1, "messages-sent": int64(count), "messages-delivered": int64(count),
		"settled-on-links": int64(count), "settled-by-management": 0,
	})

	small, err := sender.NewMessageBatch(ctx, &azservicebus.MessageBatchOptions{MaxBytes: 300})
	must(t, err)
	must(t, small.AddMessage(text("fits"), nil))
	if err := small.AddMessage(&azservicebus.Message{Body: body}, nil); !errors.Is(err, azservicebus.ErrMessageTooLarge) {
		t.Fatal(err)
	}
	must(t, small.AddAMQPAnnotatedMessage(&azservicebus.AMQPAnnotatedMessage{
		Properties: &azservicebus.AMQPAnnotatedMessageProperties{Subject: to("annotated")},
		Body:       azservicebus.AMQPAnnotatedMessageBody{Value: "value"},
	}, nil))
	must(t, sender.SendMessageBatch(ctx, small, nil))
	messages := receive(t, receiver, 2)
	equal(t, string(messages[0].Body), "fits")
	equal(t, messages[1].RawAMQPMessage.Body.Value, any("value"))
	equal(t, *messages[1].Subject, "annotated")
}

func TestAMessageThatIsTooLargeIsRefusedAtOnceSND14(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	patient := azservicebus.RetryOptions{RetryDelay: time.Hour, MaxRetryDelay: time.Hour}
	client := connect(t, emulator.connectionString, &azservicebus.ClientOptions{RetryOptions: patient})
	sender := sender(t, client, "queue")
	for _, id := range []*string{nil, to("id")} {
		message := &azservicebus.Message{MessageID: id, Body: make([]byte, 1_000_000)}
		if err := sender.SendMessage(during(t, patience), message, nil); !errors.Is(err, azservicebus.ErrMessageTooLarge) {
			t.Fatal(err)
		}
	}
	must(t, sender.SendMessage(during(t, patience), &azservicebus.Message{Body: make([]byte, 262_000)}, nil))
}

func TestALargeMessageQueueTakesMegabytesButKeepsBatchesSmall(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	sender, receiver := sender(t, client, "large"), receiver(t, client, "large", nil)
	large := bytes.Repeat([]byte("\x00\xff"), 3<<20)
	must(t, sender.SendMessage(ctx, &azservicebus.Message{Body: large}, nil))
	message := receiveOne(t, receiver)
	holds(t, bytes.Equal(message.Body, large), "%d bytes came", len(message.Body))
	complete(t, receiver, message)
	batch, err := sender.NewMessageBatch(ctx, nil)
	must(t, err)
	must(t, batch.AddMessage(&azservicebus.Message{Body: large[:1_000_000]}, nil))
	if err := batch.AddMessage(&azservicebus.Message{Body: large[:100_000]}, nil); !errors.Is(err, azservicebus.ErrMessageTooLarge) {
		t.Fatal(err)
	}
	must(t, sender.SendMessageBatch(ctx, batch, nil))
	equal(t, len(receiveOne(t, receiver).Body), 1_000_000)
}

func TestDuplicatesAreTakenAndDropped(t *testing.T) {
	t.Parallel()
	client := start(t).client(t)
	sender, receiver := sender(t, client, "unique"), receiver(t, client, "unique", nil)
	for _, id := range []string{"a", "b", "a"} {
		must(t, sender.SendMessage(during(t, patience), &azservicebus.Message{MessageID: &id, Body: []byte(id)}, nil))
	}
	messages := receive(t, receiver, 2)
	equal(t, bodies(messages), []string{"a", "b"})
	complete(t, receiver, messages...)
	nothing(t, receiver)
}

func TestScheduledMessagesComeInTimeOrAreCancelledSCH1SCH4SCH5SCH12(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	sender, receiver := sender(t, client, "queue"), receiver(t, client, "queue", nil)
	soon := time.Now().Add(2 * time.Second).Truncate(time.Millisecond).UTC()
	numbers, err := sender.ScheduleMessages(ctx, []*azservicebus.Message{text("stays"), text("goes")}, soon, nil)
	must(t, err)
	equal(t, len(numbers), 2)
	holds(t, 0 < numbers[0] && numbers[0] < numbers[1], "%v", numbers)
	annotated := &azservicebus.AMQPAnnotatedMessage{
		MessageAnnotations: map[any]any{},
		Body:               azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("annotated")}},
	}
	more, err := sender.ScheduleAMQPAnnotatedMessages(ctx, []*azservicebus.AMQPAnnotatedMessage{annotated}, soon.Add(time.Hour), nil)
	must(t, err)
	must(t, sender.SendMessage(ctx, &azservicebus.Message{Body: []byte("by annotation"), ScheduledEnqueueTime: &soon}, nil))

	peeked := peek(t, receiver, 0)
	equal(t, bodies(peeked), []string{"stays", "goes", "annotated", "by annotation"})
	for _, message := range peeked {
		equal(t, message.State, azservicebus.MessageStateScheduled)
	}
	equal(t, peeked[0].ScheduledEnqueueTime.UTC(), soon)
	must(t, sender.CancelScheduledMessages(ctx, []int64{numbers[1], more[0]}, nil))
	equal(t, bodies(peek(t, receiver, 0)), []string{"stays", "by annotation"})

	messages := receive(t, receiver, 2)
	holds(t, !time.Now().Before(soon), "too early")
	found := map[string]time.Time{}
	for _, message := range messages {
		found[string(message.Body)] = message.ScheduledEnqueueTime.UTC()
		// F18: it keeps the state that it had while it waited.
		equal(t, message.State, azservicebus.MessageStateScheduled)
	}
	equal(t, found, map[string]time.Time{"stays": soon, "by annotation": soon})
	complete(t, receiver, messages...)
	nothing(t, receiver)
	must(t, sender.SendMessage(ctx, text("another"), nil))
	equal(t, *receiveOne(t, receiver).SequenceNumber > numbers[1], true)
}

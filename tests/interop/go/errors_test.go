package interop

// What is refused, by the SDK's own codes.

import (
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
)

func TestUnknownEntitiesAreNotFoundERR3(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, 10*time.Second)
	fails(t, sender(t, client, "nowhere").SendMessage(ctx, text("x"), nil), azservicebus.CodeNotFound)
	_, err := sender(t, client, "nowhere").NewMessageBatch(ctx, nil)
	fails(t, err, azservicebus.CodeNotFound)
	_, err = sender(t, client, "nowhere").ScheduleMessages(ctx, []*azservicebus.Message{text("x")}, time.Now(), nil)
	fails(t, err, azservicebus.CodeNotFound)
	unknown := receiver(t, client, "nowhere", nil)
	_, err = unknown.ReceiveMessages(ctx, 1, nil)
	fails(t, err, azservicebus.CodeNotFound)
	_, err = unknown.PeekMessages(ctx, 1, nil)
	fails(t, err, azservicebus.CodeNotFound)
	_, err = subscriber(t, client, "nowhere", "nowhere", nil).PeekMessages(ctx, 1, nil)
	fails(t, err, azservicebus.CodeNotFound)
	_, err = client.AcceptSessionForQueue(ctx, "nowhere", "a", nil)
	fails(t, err, azservicebus.CodeNotFound)
	_, err = client.AcceptNextSessionForQueue(ctx, "nowhere", nil)
	fails(t, err, azservicebus.CodeNotFound)
	// The token is for the topic, which is there: the link is refused, for which the SDK has no code
	// (docs/evidence/service-evidence.md §6).
	_, err = subscriber(t, client, "topic", "nowhere", nil).PeekMessages(ctx, 1, nil)
	breaks(t, err, amqp.ErrCondNotFound)
	_, err = client.AcceptNextSessionForSubscription(ctx, "topic", "nowhere", nil)
	breaks(t, err, amqp.ErrCondNotFound)
}

func TestAWrongKeyAWrongNameAndAnExpiredTokenAreRefusedERR7(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	counters := emulator.counters(t)
	with := func(token string) string {
		return "Endpoint=sb://" + emulator.plain + ";SharedAccessSignature=" + token + ";UseDevelopmentEmulator=true;"
	}
	address := "amqp://" + emulator.plain + "/queue"
	wrong := []string{
		emulator.to(rootName, "d3Jvbmc="), emulator.to("nobody", rootKey),
		with(sign(address, rootName, rootKey, timeIn(-60))),
		with(sign("amqp://"+emulator.plain+"/session", rootName, rootKey, timeIn(60))),
	}
	for _, connectionString := range wrong {
		client := connect(t, connectionString, &azservicebus.ClientOptions{RetryOptions: quick})
		err := sender(t, client, "queue").SendMessage(during(t, patience), text("x"), nil)
		fails(t, err, azservicebus.CodeUnauthorizedAccess)
	}
	counters.counted(t, map[string]int64{"tokens-refused": int64(len(wrong)), "messages-sent": 0})
	// One that somebody else signed is as good as the key. The SDK shows one token for the entity and for its
	// management node, which is below it.
	client := connect(t, with(sign(address, "sender", "c2VuZGVy", timeIn(600))), &azservicebus.ClientOptions{RetryOptions: quick})
	must(t, sender(t, client, "queue").SendMessage(during(t, patience), text("x"), nil))
}

func TestAKeyWithoutTheRightIsRefusedERR5ERR6(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	options := &azservicebus.ClientOptions{RetryOptions: quick}
	sending := connect(t, emulator.to("sender", "c2VuZGVy"), options)
	listening := connect(t, emulator.to("listener", "bGlzdGVuZXI="), options)
	ctx := during(t, patience)
	must(t, sender(t, sending, "queue").SendMessage(ctx, text("x"), nil))
	_, err := receiver(t, sending, "queue", nil).ReceiveMessages(ctx, 1, nil)
	fails(t, err, azservicebus.CodeUnauthorizedAccess)
	equal(t, bodies(receive(t, receiver(t, listening, "queue", nil), 1)), []string{"x"})
	fails(t, sender(t, listening, "queue").SendMessage(ctx, text("x"), nil), azservicebus.CodeUnauthorizedAccess)
	_, err = sending.AcceptSessionForQueue(ctx, "session", "a", nil)
	fails(t, err, azservicebus.CodeUnauthorizedAccess)
}

func TestNumbersThatAreNotThereAreNotFound(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	_, err := receiver(t, client, "queue", nil).ReceiveDeferredMessages(ctx, []int64{4711}, nil)
	fails(t, err, azservicebus.CodeNotFound)
	fails(t, sender(t, client, "queue").CancelScheduledMessages(ctx, []int64{4711}, nil), azservicebus.CodeNotFound)
}

func TestWhatIsClosedSaysSo(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	client, ctx := emulator.client(t), during(t, patience)
	sending, receiving := sender(t, client, "queue"), receiver(t, client, "queue", nil)
	must(t, sending.SendMessage(ctx, text("x"), nil))
	message := receiveOne(t, receiving)
	must(t, sending.Close(ctx))
	must(t, receiving.Close(ctx))
	fails(t, sending.SendMessage(ctx, text("x"), nil), azservicebus.CodeClosed)
	fails(t, receiving.CompleteMessage(ctx, message, nil), azservicebus.CodeClosed)
	_, err := receiving.ReceiveMessages(ctx, 1, nil)
	fails(t, err, azservicebus.CodeClosed)
	_, err = receiving.PeekMessages(ctx, 1, nil)
	fails(t, err, azservicebus.CodeClosed)
	must(t, client.Close(ctx))
	_, err = client.NewSender("queue", nil)
	holds(t, err != nil, "a closed client gives senders")
}

func TestNobodyListeningIsALostConnection(t *testing.T) {
	t.Parallel()
	closed := "Endpoint=sb://localhost:1;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;"
	client := connect(t, closed, &azservicebus.ClientOptions{RetryOptions: quick})
	err := sender(t, client, "queue").SendMessage(during(t, patience), text("x"), nil)
	fails(t, err, azservicebus.CodeConnectionLost)
}

func TestADisabledQueueSaysSo(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	client, admin, ctx := emulator.client(t), emulator.administration(t), during(t, patience)
	// A change of the entity detaches its links, which closing them would report.
	sending, err := client.NewSender("queue", nil)
	must(t, err)
	must(t, sending.SendMessage(ctx, text("x"), nil))
	status(t, admin, "queue", "SendDisabled")
	breaks(t, sending.SendMessage(ctx, text("y"), nil), "com.microsoft:entity-disabled")
	receiving, err := client.NewReceiverForQueue("queue", nil)
	must(t, err)
	complete(t, receiving, receiveOne(t, receiving))
	status(t, admin, "queue", "ReceiveDisabled")
	_, err = receiver(t, client, "queue", nil).ReceiveMessages(ctx, 1, nil)
	breaks(t, err, "com.microsoft:entity-disabled")
	status(t, admin, "queue", "Active")
	must(t, sending.SendMessage(ctx, text("z"), nil))
	equal(t, bodies(receive(t, receiver(t, client, "queue", nil), 1)), []string{"z"})
}

func TestADeletedQueueIsGoneForOpenLinks(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	client, admin, ctx := emulator.client(t), emulator.administration(t), during(t, patience)
	// Its link is detached later, which closing it would report.
	sending, err := client.NewSender("queue", nil)
	must(t, err)
	must(t, sending.SendMessage(ctx, text("x"), nil))
	_, err = admin.DeleteQueue(ctx, "queue", nil)
	must(t, err)
	breaks(t, sending.SendMessage(ctx, text("y"), nil), amqp.ErrCondNotFound)
	fails(t, sender(t, client, "queue").SendMessage(ctx, text("y"), nil), azservicebus.CodeNotFound)
	_, err = admin.CreateQueue(ctx, "queue", nil)
	must(t, err)
	must(t, sender(t, client, "queue").SendMessage(ctx, text("z"), nil))
	equal(t, bodies(receive(t, receiver(t, client, "queue", nil), 1)), []string{"z"})
}

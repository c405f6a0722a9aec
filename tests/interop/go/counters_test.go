package interop

import (
	"testing"

	"github.com/Azure/go-amqp"
)

// counters are what the emulator has counted since the last call of `since`. They tell a healthy conversation from one
// that reconnects, or settles a second time through $management, for every message (wire-protocol.md §0, fact 8).
type counters struct {
	sender   *amqp.Sender
	receiver *amqp.Receiver
	before   map[string]int64
}

// counters begins to count.
func (e *emulator) counters(t *testing.T) *counters {
	t.Helper()
	ctx := during(t, patience)
	connection, err := amqp.Dial(ctx, "amqp://"+e.plain, &amqp.ConnOptions{SASLType: amqp.SASLTypePlain(rootName, rootKey)})
	must(t, err)
	t.Cleanup(func() { connection.Close() })
	session, err := connection.NewSession(ctx, nil)
	must(t, err)
	c := &counters{}
	c.receiver, err = session.NewReceiver(ctx, "$management", &amqp.ReceiverOptions{TargetAddress: "counters"})
	must(t, err)
	c.sender, err = session.NewSender(ctx, "$management", nil)
	must(t, err)
	c.before = c.read(t)
	return c
}

func (c *counters) read(t *testing.T) map[string]int64 {
	t.Helper()
	ctx := during(t, patience)
	must(t, c.sender.Send(ctx, &amqp.Message{
		Properties:            &amqp.MessageProperties{MessageID: "1", ReplyTo: to("counters")},
		ApplicationProperties: map[string]any{"operation": "com.servicebus-emulator:statistics"},
		Value:                 map[string]any{},
	}, nil))
	answer, err := c.receiver.Receive(ctx, nil)
	must(t, err)
	must(t, c.receiver.AcceptMessage(ctx, answer))
	counted := map[string]int64{}
	for name, value := range answer.Value.(map[string]any) {
		counted[name] = value.(int64)
	}
	return counted
}

func (c *counters) since(t *testing.T) map[string]int64 {
	t.Helper()
	now, difference := c.read(t), map[string]int64{}
	for name, value := range now {
		difference[name] = value - c.before[name]
	}
	difference["management-requests"]--
	c.before = now
	return difference
}

// counted expects these counts since the last time.
func (c *counters) counted(t *testing.T, wanted map[string]int64) {
	t.Helper()
	found := c.since(t)
	for name, value := range wanted {
		if found[name] != value {
			t.Fatalf("%s: %d, not %d, of %v", name, found[name], value, found)
		}
	}
}

// reach waits until something has been counted so many times since the last call of `since`.
func (c *counters) reach(t *testing.T, name string, count int64) {
	t.Helper()
	eventually(t, name, func() bool { return c.read(t)[name]-c.before[name] >= count })
}

package interop

// Topics: subscriptions with rules and actions, and copies for each.

import (
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

func subscriber(t *testing.T, client *azservicebus.Client, topic, subscription string, options *azservicebus.ReceiverOptions) *azservicebus.Receiver {
	t.Helper()
	receiver, err := client.NewReceiverForSubscription(topic, subscription, options)
	must(t, err)
	closing(t, receiver)
	return receiver
}

func TestASubscriptionTakesWhatItsRuleMatchesAndItsActionMarksIt(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	with := func(body string, properties map[string]any) *azservicebus.Message {
		return &azservicebus.Message{Body: []byte(body), ApplicationProperties: properties, SessionID: to("s")}
	}
	send(t, client, "topic",
		with("small", map[string]any{"colour": "red", "size": 1}), with("blue", map[string]any{"colour": "blue", "size": 3}),
		with("red", map[string]any{"colour": "red", "size": 2}), with("plain", nil))
	all, red := subscriber(t, client, "topic", "all", nil), subscriber(t, client, "topic", "red", nil)
	messages := receive(t, all, 4)
	equal(t, bodies(messages), []string{"small", "blue", "red", "plain"})
	equal(t, messages[2].ApplicationProperties, map[string]any{"colour": "red", "size": int64(2)})
	matched := receiveOne(t, red)
	equal(t, string(matched.Body), "red")
	// A rule with an action names itself (docs/evidence/service-evidence.md §11).
	wanted := map[string]any{"colour": "red", "size": int64(2), "matched": "red", "RuleName": "red"}
	equal(t, matched.ApplicationProperties, wanted)
	nothing(t, red)
	// Copies are settled each for itself (RUL29).
	complete(t, all, messages...)
	must(t, red.DeadLetterMessage(ctx, matched, &azservicebus.DeadLetterOptions{Reason: to("why")}))
	equal(t, len(peek(t, all, 0)), 0)
	dead := subscriber(t, client, "topic", "red", deadLetters)
	found := receiveOne(t, dead)
	equal(t, *found.DeadLetterReason, "why")
	complete(t, dead, found)
}

func TestScheduledMessagesOfATopicAreCancelledBeforeAnySubscriptionHasThem(t *testing.T) {
	t.Parallel()
	client, ctx := start(t).client(t), during(t, patience)
	sender, all := sender(t, client, "topic"), subscriber(t, client, "topic", "all", nil)
	soon := timeIn(5)
	numbers, err := sender.ScheduleMessages(ctx, []*azservicebus.Message{ofSession("s", "stays"), ofSession("s", "goes")}, soon, nil)
	must(t, err)
	equal(t, len(peek(t, all, 0)), 0)
	must(t, sender.CancelScheduledMessages(ctx, numbers[1:], nil))
	equal(t, string(receiveOne(t, all).Body), "stays")
	nothing(t, all)
}

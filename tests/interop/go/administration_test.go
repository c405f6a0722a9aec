package interop

// The administration client: entities, rules, run-time counts, pages, and what is refused.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"
)

const forever = "P10675199DT2H48M5.4775807S"

// empty is an administration client of a namespace without entities.
func empty(t *testing.T) (*emulator, *admin.Client) {
	t.Helper()
	emulator := start(t)
	emulator.order(t, "entities")
	return emulator, emulator.administration(t)
}

// refused expects an HTTP error with this status whose text contains this.
func refused(t *testing.T, err error, status int, text string) {
	t.Helper()
	var failure *azcore.ResponseError
	if !errors.As(err, &failure) || failure.StatusCode != status || !strings.Contains(err.Error(), text) {
		t.Fatalf("%v is not a %d with %q", err, status, text)
	}
}

// status changes the status of a queue.
func status(t *testing.T, client *admin.Client, queue string, status admin.EntityStatus) {
	t.Helper()
	ctx := during(t, patience)
	found, err := client.GetQueue(ctx, queue, nil)
	must(t, err)
	found.Status = &status
	_, err = client.UpdateQueue(ctx, queue, found.QueueProperties, nil)
	must(t, err)
}

// pages is what a pager lists, page by page. Where the last page is full, the SDK asks for one more.
func pages[P, I any](t *testing.T, pager *runtime.Pager[P], items func(P) []I, name func(I) string) [][]string {
	t.Helper()
	var found [][]string
	for pager.More() {
		page, err := pager.NextPage(during(t, patience))
		must(t, err)
		var names []string
		for _, item := range items(page) {
			names = append(names, name(item))
		}
		if len(names) > 0 {
			found = append(found, names)
		}
	}
	return found
}

func TestAQueueHasTheServicesDefaultsADM20(t *testing.T) {
	t.Parallel()
	emulator, client := empty(t)
	created, err := client.CreateQueue(during(t, patience), "queue", nil)
	must(t, err)
	equal(t, created.QueueName, "queue")
	wanted := admin.QueueProperties{
		LockDuration: to("PT1M"), MaxSizeInMegabytes: to(int32(1024)), RequiresDuplicateDetection: to(false),
		RequiresSession: to(false), DefaultMessageTimeToLive: to(forever), DeadLetteringOnMessageExpiration: to(false),
		DuplicateDetectionHistoryTimeWindow: to("PT10M"), MaxDeliveryCount: to(int32(10)), EnableBatchedOperations: to(true),
		Status: to(admin.EntityStatusActive), AutoDeleteOnIdle: to(forever), EnablePartitioning: to(false),
		MaxMessageSizeInKilobytes: to(int64(256)),
	}
	equal(t, created.QueueProperties, wanted)
	found, err := client.GetQueue(during(t, patience), "queue", nil)
	must(t, err)
	equal(t, found.QueueProperties, wanted)
	// What was made is used.
	sendTexts(t, emulator.client(t), "queue", "a")
	equal(t, bodies(receive(t, receiver(t, emulator.client(t), "queue", nil), 1)), []string{"a"})
}

func TestAQueueKeepsEverySettingAndIsUpdatedAndDeleted(t *testing.T) {
	t.Parallel()
	_, client := empty(t)
	ctx := during(t, patience)
	_, err := client.CreateQueue(ctx, "target", nil)
	must(t, err)
	sent := admin.QueueProperties{
		LockDuration: to("PT45S"), MaxSizeInMegabytes: to(int32(2048)), RequiresDuplicateDetection: to(true),
		RequiresSession: to(true), DefaultMessageTimeToLive: to("PT3M"), DeadLetteringOnMessageExpiration: to(true),
		DuplicateDetectionHistoryTimeWindow: to("PT4H"), MaxDeliveryCount: to(int32(101)), EnableBatchedOperations: to(false),
		Status: to(admin.EntityStatusSendDisabled), AutoDeleteOnIdle: to("PT10M"), EnablePartitioning: to(false),
		ForwardDeadLetteredMessagesTo: to("target"), UserMetadata: to("some <metadata> & more"),
		AuthorizationRules: []admin.AuthorizationRule{{
			KeyName: to("key"), AccessRights: []admin.AccessRight{admin.AccessRightSend, admin.AccessRightListen},
		}},
	}
	created, err := client.CreateQueue(ctx, "queue", &admin.CreateQueueOptions{Properties: &sent})
	must(t, err)
	holds(t, strings.HasSuffix(*created.ForwardDeadLetteredMessagesTo, "/target"), "%s", *created.ForwardDeadLetteredMessagesTo)
	rules := created.AuthorizationRules
	holds(t, len(rules) == 1 && *rules[0].KeyName == "key" && *rules[0].PrimaryKey != "" && rules[0].CreatedTime == nil, "%v", rules)
	same := created.QueueProperties
	same.ForwardDeadLetteredMessagesTo, same.AuthorizationRules = sent.ForwardDeadLetteredMessagesTo, sent.AuthorizationRules
	same.MaxMessageSizeInKilobytes = nil
	// F8: what forwards is never idle.
	equal(t, *same.AutoDeleteOnIdle, forever)
	same.AutoDeleteOnIdle = sent.AutoDeleteOnIdle
	equal(t, same, sent)

	changed := created.QueueProperties
	changed.MaxDeliveryCount, changed.LockDuration, changed.Status = to(int32(5)), to("PT5S"), to(admin.EntityStatusActive)
	updated, err := client.UpdateQueue(ctx, "queue", changed, nil)
	must(t, err)
	equal(t, *updated.MaxDeliveryCount, 5)
	found, err := client.GetQueue(ctx, "queue", nil)
	must(t, err)
	equal(t, []string{*found.LockDuration, string(*found.Status)}, []string{"PT5S", "Active"})
	changed.RequiresSession = to(false)
	_, err = client.UpdateQueue(ctx, "queue", changed, nil)
	refused(t, err, http.StatusBadRequest, "RequiresSession property of an existing Queue cannot be changed")

	_, err = client.DeleteQueue(ctx, "queue", nil)
	must(t, err)
	gone, err := client.GetQueue(ctx, "queue", nil)
	must(t, err)
	equal(t, gone, nil)
}

func TestTopicsAndSubscriptionsAreMadeUpdatedAndDeletedADM21ADM22(t *testing.T) {
	t.Parallel()
	_, client := empty(t)
	ctx := during(t, patience)
	topic, err := client.CreateTopic(ctx, "topic", nil)
	must(t, err)
	equal(t, topic.TopicProperties, admin.TopicProperties{
		MaxSizeInMegabytes: to(int32(1024)), RequiresDuplicateDetection: to(false), DefaultMessageTimeToLive: to(forever),
		DuplicateDetectionHistoryTimeWindow: to("PT10M"), EnableBatchedOperations: to(true), Status: to(admin.EntityStatusActive),
		AutoDeleteOnIdle: to(forever), EnablePartitioning: to(false), SupportOrdering: to(true),
		MaxMessageSizeInKilobytes: to(int64(256)),
	})
	subscription, err := client.CreateSubscription(ctx, "topic", "sub", nil)
	must(t, err)
	equal(t, []string{subscription.TopicName, subscription.SubscriptionName}, []string{"topic", "sub"})
	equal(t, subscription.SubscriptionProperties, admin.SubscriptionProperties{
		LockDuration: to("PT1M"), RequiresSession: to(false), DefaultMessageTimeToLive: to(forever),
		DeadLetteringOnMessageExpiration: to(false), EnableDeadLetteringOnFilterEvaluationExceptions: to(true),
		MaxDeliveryCount: to(int32(10)), Status: to(admin.EntityStatusActive), AutoDeleteOnIdle: to(forever),
		EnableBatchedOperations: to(true),
	})

	changedTopic := topic.TopicProperties
	changedTopic.UserMetadata, changedTopic.DefaultMessageTimeToLive = to("metadata"), to("P2D")
	_, err = client.UpdateTopic(ctx, "topic", changedTopic, nil)
	must(t, err)
	foundTopic, err := client.GetTopic(ctx, "topic", nil)
	must(t, err)
	equal(t, []string{*foundTopic.UserMetadata, *foundTopic.DefaultMessageTimeToLive}, []string{"metadata", "P2D"})
	changed := subscription.SubscriptionProperties
	changed.LockDuration, changed.UserMetadata, changed.MaxDeliveryCount = to("PT3M"), to("more"), to(int32(7))
	_, err = client.UpdateSubscription(ctx, "topic", "sub", changed, nil)
	must(t, err)
	found, err := client.GetSubscription(ctx, "topic", "sub", nil)
	must(t, err)
	equal(t, found.SubscriptionProperties, changed)
	changed.RequiresSession = to(true)
	_, err = client.UpdateSubscription(ctx, "topic", "sub", changed, nil)
	refused(t, err, http.StatusBadRequest, "RequiresSession property of an existing Subscription cannot be changed")

	_, err = client.DeleteSubscription(ctx, "topic", "sub", nil)
	must(t, err)
	_, err = client.DeleteTopic(ctx, "topic", nil)
	must(t, err)
	gone, err := client.GetTopic(ctx, "topic", nil)
	must(t, err)
	equal(t, gone, nil)
}

func TestForwardedMessagesArriveFWD4FWD5(t *testing.T) {
	t.Parallel()
	emulator, client := empty(t)
	ctx := during(t, patience)
	for _, queue := range []string{"end", "dead-end"} {
		_, err := client.CreateQueue(ctx, queue, nil)
		must(t, err)
	}
	made, err := client.CreateQueue(ctx, "through", &admin.CreateQueueOptions{Properties: &admin.QueueProperties{ForwardTo: to("end")}})
	must(t, err)
	holds(t, strings.HasPrefix(*made.ForwardTo, "sb://") && strings.HasSuffix(*made.ForwardTo, "/end"), "%s", *made.ForwardTo)
	_, err = client.CreateTopic(ctx, "topic", nil)
	must(t, err)
	_, err = client.CreateSubscription(ctx, "topic", "sub", &admin.CreateSubscriptionOptions{Properties: &admin.SubscriptionProperties{
		ForwardDeadLetteredMessagesTo: to("dead-end"),
	}})
	must(t, err)
	messages := emulator.client(t)
	sendTexts(t, messages, "through", "forwarded")
	equal(t, bodies(receive(t, receiver(t, messages, "end", nil), 1)), []string{"forwarded"})
	sendTexts(t, messages, "topic", "dead")
	on := subscriber(t, messages, "topic", "sub", nil)
	must(t, on.DeadLetterMessage(ctx, receiveOne(t, on), &azservicebus.DeadLetterOptions{Reason: to("why")}))
	found := receiveOne(t, receiver(t, messages, "dead-end", nil))
	equal(t, string(found.Body)+" "+*found.DeadLetterReason, "dead why")
	holds(t, found.DeadLetterSource != nil && strings.EqualFold(*found.DeadLetterSource, "topic/Subscriptions/sub"), "%v", found.DeadLetterSource)
}

func TestRulesKeepFiltersActionsAndTypedValuesRUL12RUL36RUL38RUL39ADM68(t *testing.T) {
	t.Parallel()
	_, client := empty(t)
	ctx := during(t, patience)
	_, err := client.CreateTopic(ctx, "topic", nil)
	must(t, err)
	_, err = client.CreateSubscription(ctx, "topic", "sub", nil)
	must(t, err)
	values := map[string]any{
		"@string": "täxt", "@int": int64(-7), "@float": 2.5, "@bool": true,
		"@date": time.Date(2020, 2, 3, 4, 5, 6, 789_000_000, time.UTC),
	}
	for name, rule := range map[string]admin.RuleProperties{
		"true":  {Filter: &admin.TrueFilter{}},
		"false": {Filter: &admin.FalseFilter{}},
		"correlation": {Filter: &admin.CorrelationFilter{
			ContentType: to("type"), CorrelationID: to("correlation"), MessageID: to("id"), ReplyTo: to("reply"),
			ReplyToSessionID: to("reply-session"), SessionID: to("session"), Subject: to("subject"), To: to("to"),
			ApplicationProperties: map[string]any{"text": "a < b & c", "number": int64(5), "flag": false, "part": 0.5},
		}},
		"sql": {
			Filter: &admin.SQLFilter{
				Expression: "MessageID=@string OR MessageID=@int OR MessageID=@float OR MessageID=@date OR MessageID=@bool",
				Parameters: values,
			},
			Action: &admin.SQLAction{Expression: "SET MessageID=@string SET MessageID=@int", Parameters: values},
		},
		"action-only": {Filter: &admin.TrueFilter{}, Action: &admin.SQLAction{Expression: "SET sys.label = 'MessageX'"}},
	} {
		rule.Name = name
		created, err := client.CreateRule(ctx, "topic", "sub", &admin.CreateRuleOptions{
			Name: &name, Filter: rule.Filter, Action: rule.Action,
		})
		must(t, err)
		equal(t, created.RuleProperties, rule)
		found, err := client.GetRule(ctx, "topic", "sub", name, nil)
		must(t, err)
		equal(t, found.RuleProperties, rule)
	}
	plain, err := client.CreateRule(ctx, "topic", "sub", &admin.CreateRuleOptions{Name: to("plain")})
	must(t, err)
	equal(t, plain.RuleProperties, admin.RuleProperties{Name: "plain", Filter: &admin.TrueFilter{}})

	updated, err := client.UpdateRule(ctx, "topic", "sub", admin.RuleProperties{Name: "$Default", Filter: &admin.FalseFilter{}})
	must(t, err)
	equal(t, updated.Filter, admin.RuleFilter(&admin.FalseFilter{}))
	runtime, err := client.GetTopicRuntimeProperties(ctx, "topic", nil)
	must(t, err)
	equal(t, []int32{runtime.SQLFilterCount, runtime.CorrelationFilterCount}, []int32{6, 1})
	_, err = client.DeleteRule(ctx, "topic", "sub", "plain", nil)
	must(t, err)
	gone, err := client.GetRule(ctx, "topic", "sub", "plain", nil)
	must(t, err)
	equal(t, gone, nil)
}

func TestTheDefaultRuleIsTheOneThatIsGivenRUL43RUL44(t *testing.T) {
	t.Parallel()
	emulator, client := empty(t)
	ctx := during(t, patience)
	_, err := client.CreateTopic(ctx, "topic", nil)
	must(t, err)
	for _, name := range []string{"", "red"} {
		made, err := client.CreateSubscription(ctx, "topic", "sub"+name, &admin.CreateSubscriptionOptions{
			Properties: &admin.SubscriptionProperties{DefaultRule: &admin.RuleProperties{
				Name: name, Filter: &admin.SQLFilter{Expression: "colour = 'red'"}, Action: &admin.SQLAction{Expression: "SET a='b'"},
			}},
		})
		must(t, err)
		equal(t, made.DefaultRule, nil)
		wanted := name
		if name == "" {
			wanted = "$Default"
		}
		rules := pages(t, client.NewListRulesPager("topic", "sub"+name, nil),
			func(page admin.ListRulesResponse) []admin.RuleProperties { return page.Rules },
			func(rule admin.RuleProperties) string { return rule.Name })
		equal(t, rules, [][]string{{wanted}})
	}
	messages := emulator.client(t)
	for _, colour := range []string{"blue", "red"} {
		send(t, messages, "topic", &azservicebus.Message{Body: []byte(colour), ApplicationProperties: map[string]any{"colour": colour}})
	}
	on := subscriber(t, messages, "topic", "subred", nil)
	found := receiveOne(t, on)
	equal(t, string(found.Body), "red")
	equal(t, found.ApplicationProperties["a"], any("b"))
	nothing(t, on)
}

func TestRunTimePropertiesCountWhatIsThereADM53ADM54(t *testing.T) {
	t.Parallel()
	emulator, client := empty(t)
	ctx := during(t, patience)
	before := time.Now().Add(-2 * time.Second)
	_, err := client.CreateQueue(ctx, "queue", nil)
	must(t, err)
	_, err = client.CreateTopic(ctx, "topic", nil)
	must(t, err)
	_, err = client.CreateSubscription(ctx, "topic", "sub", nil)
	must(t, err)
	messages := emulator.client(t)
	for _, entity := range []string{"queue", "topic"} {
		sendTexts(t, messages, entity, "one", "two", "three")
		_, err := sender(t, messages, entity).ScheduleMessages(ctx, []*azservicebus.Message{text("later")}, timeIn(3600), nil)
		must(t, err)
	}
	for _, on := range []*azservicebus.Receiver{receiver(t, messages, "queue", nil), subscriber(t, messages, "topic", "sub", nil)} {
		must(t, on.DeadLetterMessage(ctx, receiveOne(t, on), nil))
	}
	queue, err := client.GetQueueRuntimeProperties(ctx, "queue", nil)
	must(t, err)
	equal(t, []int64{
		queue.TotalMessageCount, int64(queue.ActiveMessageCount), int64(queue.DeadLetterMessageCount),
		int64(queue.ScheduledMessageCount), int64(queue.TransferMessageCount), int64(queue.TransferDeadLetterMessageCount),
	}, []int64{4, 2, 1, 1, 0, 0})
	holds(t, queue.SizeInBytes > 0 && queue.CreatedAt.After(before) && !queue.AccessedAt.Before(queue.CreatedAt), "%v", queue)
	topic, err := client.GetTopicRuntimeProperties(ctx, "topic", nil)
	must(t, err)
	equal(t, []int32{topic.SubscriptionCount, topic.ScheduledMessageCount, topic.SQLFilterCount}, []int32{1, 1, 1})
	subscription, err := client.GetSubscriptionRuntimeProperties(ctx, "topic", "sub", nil)
	must(t, err)
	equal(t, []int64{
		subscription.TotalMessageCount, int64(subscription.ActiveMessageCount), int64(subscription.DeadLetterMessageCount),
	}, []int64{3, 2, 1})
	for pager := client.NewListQueuesRuntimePropertiesPager(nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		must(t, err)
		for _, item := range page.QueueRuntimeProperties {
			equal(t, item.QueueRuntimeProperties, queue.QueueRuntimeProperties)
		}
	}
}

func TestListsComeInPagesByNameADM62(t *testing.T) {
	t.Parallel()
	_, client := empty(t)
	ctx := during(t, patience)
	var names []string
	for number := range 105 {
		names = append(names, fmt.Sprintf("queue-%03d", number))
		_, err := client.CreateQueue(ctx, names[number], nil)
		must(t, err)
	}
	for number := range 5 {
		name := string(rune('a' + number))
		_, err := client.CreateTopic(ctx, name, nil)
		must(t, err)
		_, err = client.CreateSubscription(ctx, "a", name, nil)
		must(t, err)
		_, err = client.CreateRule(ctx, "a", "a", &admin.CreateRuleOptions{Name: &name})
		must(t, err)
	}
	queues := pages(t, client.NewListQueuesPager(nil), func(page admin.ListQueuesResponse) []admin.QueueItem { return page.Queues },
		func(item admin.QueueItem) string { return item.QueueName })
	var all []string
	for _, page := range queues {
		all = append(all, page...)
	}
	equal(t, all, names)
	holds(t, len(queues) > 1, "one page has them all")
	equal(t, pages(t, client.NewListQueuesRuntimePropertiesPager(&admin.ListQueuesRuntimePropertiesOptions{MaxPageSize: 50}),
		func(page admin.ListQueuesRuntimePropertiesResponse) []admin.QueueRuntimePropertiesItem {
			return page.QueueRuntimeProperties
		},
		func(item admin.QueueRuntimePropertiesItem) string { return item.QueueName },
	), [][]string{names[:50], names[50:100], names[100:]})
	letters := [][]string{{"a", "b"}, {"c", "d"}, {"e"}}
	equal(t, pages(t, client.NewListTopicsPager(&admin.ListTopicsOptions{MaxPageSize: 2}),
		func(page admin.ListTopicsResponse) []admin.TopicItem { return page.Topics },
		func(item admin.TopicItem) string { return item.TopicName }), letters)
	equal(t, pages(t, client.NewListTopicsRuntimePropertiesPager(&admin.ListTopicsRuntimePropertiesOptions{MaxPageSize: 2}),
		func(page admin.ListTopicsRuntimePropertiesResponse) []admin.TopicRuntimePropertiesItem {
			return page.TopicRuntimeProperties
		},
		func(item admin.TopicRuntimePropertiesItem) string { return item.TopicName }), letters)
	equal(t, pages(t, client.NewListSubscriptionsPager("a", &admin.ListSubscriptionsOptions{MaxPageSize: 2}),
		func(page admin.ListSubscriptionsResponse) []admin.SubscriptionPropertiesItem {
			return page.Subscriptions
		},
		func(item admin.SubscriptionPropertiesItem) string { return item.SubscriptionName }), letters)
	equal(t, pages(t, client.NewListSubscriptionsRuntimePropertiesPager("a", &admin.ListSubscriptionsRuntimePropertiesOptions{MaxPageSize: 2}),
		func(page admin.ListSubscriptionsRuntimePropertiesResponse) []admin.SubscriptionRuntimePropertiesItem {
			return page.SubscriptionRuntimeProperties
		}, func(item admin.SubscriptionRuntimePropertiesItem) string { return item.SubscriptionName }), letters)
	rules := pages(t, client.NewListRulesPager("a", "a", &admin.ListRulesOptions{MaxPageSize: 4}),
		func(page admin.ListRulesResponse) []admin.RuleProperties { return page.Rules },
		func(rule admin.RuleProperties) string { return rule.Name })
	equal(t, rules, [][]string{{"$Default", "a", "b", "c"}, {"d", "e"}})
}

func TestTheNamespaceTellsWhatItIsADM64(t *testing.T) {
	t.Parallel()
	client := start(t).administration(t)
	found, err := client.GetNamespaceProperties(during(t, patience), nil)
	must(t, err)
	equal(t, []string{found.Name, found.SKU}, []string{"interop", "Standard"})
	holds(t, found.MessagingUnits == nil && !found.CreatedTime.IsZero() && !found.ModifiedTime.IsZero(), "%v", found)
}

func TestWhatIsNotThereIsNilOrRefusedADM35ToADM42(t *testing.T) {
	t.Parallel()
	_, client := empty(t)
	ctx := during(t, patience)
	_, err := client.CreateTopic(ctx, "topic", nil)
	must(t, err)
	_, err = client.CreateSubscription(ctx, "topic", "sub", nil)
	must(t, err)
	queue, err := client.GetQueue(ctx, "none", nil)
	must(t, err)
	queueCounts, err := client.GetQueueRuntimeProperties(ctx, "none", nil)
	must(t, err)
	topic, err := client.GetTopic(ctx, "none", nil)
	must(t, err)
	topicCounts, err := client.GetTopicRuntimeProperties(ctx, "none", nil)
	must(t, err)
	subscription, err := client.GetSubscription(ctx, "topic", "none", nil)
	must(t, err)
	stranger, err := client.GetSubscription(ctx, "none", "none", nil)
	must(t, err)
	rule, err := client.GetRule(ctx, "topic", "sub", "none", nil)
	must(t, err)
	holds(t, queue == nil && queueCounts == nil && topic == nil && topicCounts == nil, "something is there")
	holds(t, subscription == nil && stranger == nil && rule == nil, "something is there")

	_, err = client.DeleteQueue(ctx, "none", nil)
	refused(t, err, http.StatusNotFound, "")
	_, err = client.DeleteSubscription(ctx, "topic", "none", nil)
	refused(t, err, http.StatusNotFound, "")
	_, err = client.DeleteRule(ctx, "topic", "sub", "none", nil)
	refused(t, err, http.StatusNotFound, "")
	_, err = client.UpdateQueue(ctx, "none", admin.QueueProperties{}, nil)
	refused(t, err, http.StatusNotFound, "SubCode=40400")
	_, err = client.UpdateTopic(ctx, "none", admin.TopicProperties{}, nil)
	refused(t, err, http.StatusNotFound, "SubCode=40400")
	_, err = client.UpdateSubscription(ctx, "topic", "none", admin.SubscriptionProperties{}, nil)
	refused(t, err, http.StatusNotFound, "")
	_, err = client.CreateSubscription(ctx, "none", "sub", nil)
	refused(t, err, http.StatusNotFound, "")
}

func TestWhatIsThereAlreadyOrWrongIsRefusedADM43ADM44(t *testing.T) {
	t.Parallel()
	_, client := empty(t)
	ctx := during(t, patience)
	_, err := client.CreateTopic(ctx, "topic", nil)
	must(t, err)
	_, err = client.CreateSubscription(ctx, "topic", "sub", nil)
	must(t, err)
	_, err = client.CreateTopic(ctx, "topic", nil)
	refused(t, err, http.StatusConflict, "SubCode=40900")
	_, err = client.CreateQueue(ctx, "topic", nil)
	refused(t, err, http.StatusConflict, "SubCode=40900")
	_, err = client.CreateSubscription(ctx, "topic", "sub", nil)
	refused(t, err, http.StatusConflict, "already exists")
	_, err = client.CreateRule(ctx, "topic", "sub", &admin.CreateRuleOptions{Name: to("$Default")})
	refused(t, err, http.StatusConflict, "already exists")
	_, err = client.CreateQueue(ctx, "long", &admin.CreateQueueOptions{Properties: &admin.QueueProperties{LockDuration: to("P25D")}})
	refused(t, err, http.StatusBadRequest, "exceeds the allowed maximum of '5' minutes")
	_, err = client.CreateQueue(ctx, "lonely", &admin.CreateQueueOptions{Properties: &admin.QueueProperties{ForwardTo: to("nowhere")}})
	refused(t, err, http.StatusBadRequest, "does not exist")
	_, err = client.CreateRule(ctx, "topic", "sub", &admin.CreateRuleOptions{Name: to("bad"), Filter: &admin.SQLFilter{Expression: "a ="}})
	refused(t, err, http.StatusBadRequest, "There was an error parsing the SQL expression")
	found, err := client.GetTopic(ctx, "topic", nil)
	must(t, err)
	changed := found.TopicProperties
	changed.EnablePartitioning = to(true)
	_, err = client.UpdateTopic(ctx, "topic", changed, nil)
	refused(t, err, http.StatusBadRequest, "Partitioning cannot be changed for Topic. ")
}

func TestAKeyWithoutManageReadsNothingADM48ADM51ADM52(t *testing.T) {
	t.Parallel()
	emulator, ctx := start(t), during(t, patience)
	low := administer(t, overTLS(emulator.admin, "listener", "bGlzdGVuZXI="))
	missing, err := low.GetQueue(ctx, "not-there", nil)
	must(t, err)
	equal(t, missing, nil)
	_, err = low.GetQueue(ctx, "queue", nil)
	refused(t, err, http.StatusUnauthorized, "Manage,EntityRead claims required for this operation")
	_, err = low.NewListTopicsPager(nil).NextPage(ctx)
	refused(t, err, http.StatusUnauthorized, ">Manage,EntityRead claims required for this operation")
	_, err = low.CreateQueue(ctx, "new", nil)
	refused(t, err, http.StatusUnauthorized, "Authorization failed for specified action: Manage,EntityWrite")
	_, err = low.DeleteTopic(ctx, "topic", nil)
	refused(t, err, http.StatusUnauthorized, "Authorization failed for specified action: Manage,EntityDelete.")
	for _, name := range []string{"all", "not-there"} {
		_, err = low.GetSubscription(ctx, "topic", name, nil)
		refused(t, err, http.StatusUnauthorized, "SubCode=40100: Unauthorized : Unauthorized access for 'GetSubscription'")
	}
	_, err = low.NewListSubscriptionsPager("topic", nil).NextPage(ctx)
	refused(t, err, http.StatusUnauthorized, "Unauthorized access for 'EnumerateSubscriptions' operation")
	_, err = low.CreateSubscription(ctx, "topic", "new", nil)
	refused(t, err, http.StatusUnauthorized, "Unauthorized access for 'CreateOrUpdateSubscription' operation")
	_, err = low.DeleteSubscription(ctx, "topic", "all", nil)
	refused(t, err, http.StatusUnauthorized, "Unauthorized access for 'DeleteSubscription' operation")
	wrong := administer(t, overTLS(emulator.admin, rootName, "d3Jvbmc="))
	_, err = wrong.GetQueue(ctx, "queue", nil)
	refused(t, err, http.StatusUnauthorized, "")
}

func TestAnAdministrationClientWithATokenCredential(t *testing.T) {
	t.Parallel()
	emulator, ctx := start(t), during(t, patience)
	with := func(tokens azcore.TokenCredential) *admin.Client {
		options := &admin.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: overHTTPS(t)}}
		client, err := admin.NewClient(emulator.admin, tokens, options)
		must(t, err)
		return client
	}
	found, err := with(&credential{life: time.Hour}).GetQueue(ctx, "queue", nil)
	must(t, err)
	equal(t, found.QueueName, "queue")
	_, err = with(&credential{life: -time.Hour}).GetQueue(ctx, "queue", nil)
	refused(t, err, http.StatusUnauthorized, "ExpiredToken")
}

func TestAnOlderVersionOfTheAPICanBeAskedFor(t *testing.T) {
	t.Parallel()
	emulator, ctx := start(t), during(t, patience)
	options := &admin.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: overHTTPS(t), APIVersion: "2021-05"}}
	client, err := admin.NewClientFromConnectionString(overTLS(emulator.admin, rootName, rootKey), options)
	must(t, err)
	found, err := client.GetTopicRuntimeProperties(ctx, "topic", nil)
	must(t, err)
	equal(t, []int32{found.SubscriptionCount, found.SQLFilterCount}, []int32{3, 0})
}

func TestRulesTakeEffectOnLiveSubscriptions(t *testing.T) {
	t.Parallel()
	emulator, client := empty(t)
	ctx := during(t, patience)
	_, err := client.CreateTopic(ctx, "topic", nil)
	must(t, err)
	_, err = client.CreateSubscription(ctx, "topic", "sub", nil)
	must(t, err)
	messages := emulator.client(t)
	sender := sender(t, messages, "topic")
	must(t, sender.SendMessage(ctx, text("all"), nil))
	_, err = client.CreateRule(ctx, "topic", "sub", &admin.CreateRuleOptions{
		Name: to("red"), Filter: &admin.CorrelationFilter{ApplicationProperties: map[string]any{"colour": "red", "size": 5}},
	})
	must(t, err)
	_, err = client.DeleteRule(ctx, "topic", "sub", "$Default", nil)
	must(t, err)
	for body, properties := range map[string]map[string]any{
		"blue": {"colour": "blue", "size": 5}, "red": {"colour": "red", "size": 5}, "small": {"colour": "red", "size": 4},
	} {
		must(t, sender.SendMessage(ctx, &azservicebus.Message{Body: []byte(body), ApplicationProperties: properties}, nil))
	}
	on := subscriber(t, messages, "topic", "sub", nil)
	equal(t, bodies(receive(t, on, 2)), []string{"all", "red"})
	nothing(t, on)
}

func TestACancelledRequestEnds(t *testing.T) {
	t.Parallel()
	client := start(t).administration(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := client.GetQueue(ctx, "queue", nil)
	holds(t, errors.Is(err, context.Canceled), "%v", err)
}

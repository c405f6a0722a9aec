package interop

// Messages of our client received by the SDK, and the other way round: fields, annotations and types.

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
)

var (
	peerKey  = amqp.UUID{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	peerWhen = time.UnixMilli(1_580_702_706_789).UTC()
)

type described = map[string]any

// peer runs our client: what it describes.
func peer(t *testing.T, e *emulator, arguments []string, messages ...described) []described {
	t.Helper()
	command := exec.CommandContext(during(t, patience), os.Getenv("SDK_PEER"), append([]string{e.connectionString}, arguments...)...)
	var in, out bytes.Buffer
	for _, message := range messages {
		must(t, json.NewEncoder(&in).Encode(message))
	}
	command.Stdin, command.Stdout, command.Stderr = &in, &out, os.Stderr
	must(t, command.Run())
	var found []described
	for decoder := json.NewDecoder(&out); decoder.More(); {
		var message described
		must(t, decoder.Decode(&message))
		found = append(found, message)
	}
	return found
}

// typed is a value as descriptions have it.
func typed(kind string, value any) []any {
	return []any{kind, value}
}

func double(value float64) string {
	return fmt.Sprintf("%#x", math.Float64bits(value))
}

func TestWhatOurClientSendsTheSDKReceives(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	// Every type that application properties may have; but char and decimals, which the SDK does not decode.
	properties := []struct {
		kind        string
		sent, found any
	}{
		{"null", nil, nil}, {"boolean", true, true}, {"ubyte", 200, uint8(200)}, {"byte", -100, int8(-100)},
		{"ushort", 60_000, uint16(60_000)}, {"short", -30_000, int16(-30_000)}, {"uint", 4_000_000_000, uint32(4_000_000_000)},
		{"int", -2_000_000_000, int32(-2_000_000_000)}, {"ulong", fmt.Sprint(uint64(math.MaxUint64)), uint64(math.MaxUint64)},
		{"long", fmt.Sprint(int64(math.MinInt64)), int64(math.MinInt64)}, {"double", double(1.0 / 3), 1.0 / 3},
		{"float", fmt.Sprintf("%#x", math.Float32bits(21.5)), float32(21.5)}, {"timestamp", peerWhen.UnixMilli(), peerWhen},
		{"uuid", hex.EncodeToString(peerKey[:]), peerKey}, {"binary", "00ff", []byte{0, 255}}, {"string", "täxt", "täxt"},
		{"symbol", "symbol", "symbol"},
	}
	var sent [][]any
	wanted := map[string]any{}
	for _, property := range properties {
		sent = append(sent, []any{property.kind, typed(property.kind, property.sent)})
		wanted[property.kind] = property.found
	}
	var messages []described
	for _, body := range []any{
		typed("data", []string{"00ff", "", "41"}),
		typed("sequence", [][]any{{typed("int", 1), typed("string", "two"), typed("list", []any{typed("boolean", true)})}}),
		typed("value", typed("map", []any{[]any{typed("string", "a"), typed("long", "7")}, []any{typed("string", "b"), typed("null", nil)}})),
		nil,
	} {
		messages = append(messages, described{
			"message_id": "id", "session_id": "session", "partition_key": "session", "correlation_id": "correlation",
			"subject": "subject", "to": "to", "reply_to": "reply", "reply_to_session_id": "reply-session",
			"content_type": "text/plain", "time_to_live": 60_000, "user_id": "01ff", "group_sequence": 3,
			"creation_time": peerWhen.UnixMilli(), "content_encoding": "utf-8", "priority": 7, "durable": true,
			"application_properties": sent,
			"annotations":            []any{[]any{"x-opt-own", typed("int", 5)}},
			"delivery_annotations":   []any{[]any{"own", typed("string", "delivery")}},
			"footer":                 []any{[]any{"foot", typed("symbol", "note")}},
			"body":                   body,
		})
	}
	peer(t, emulator, []string{"send", "queue"}, messages...)
	found := receive(t, receiver(t, emulator.client(t), "queue", takesAndKeeps), 4)
	for _, message := range found {
		equal(t, []string{
			message.MessageID, *message.SessionID, *message.PartitionKey, *message.CorrelationID, *message.Subject, *message.To,
			*message.ReplyTo, *message.ReplyToSessionID, *message.ContentType,
		}, []string{"id", "session", "session", "correlation", "subject", "to", "reply", "reply-session", "text/plain"})
		message.ApplicationProperties["timestamp"] = message.ApplicationProperties["timestamp"].(time.Time).UTC()
		equal(t, message.ApplicationProperties, wanted)
		raw := message.RawAMQPMessage
		equal(t, *raw.Header, azservicebus.AMQPAnnotatedMessageHeader{Durable: true, Priority: 7, TTL: time.Minute})
		equal(t, raw.Properties.UserID, []byte{1, 255})
		equal(t, []any{*raw.Properties.GroupSequence, raw.Properties.CreationTime.UTC(), *raw.Properties.ContentEncoding},
			[]any{uint32(3), peerWhen, "utf-8"})
		equal(t, []any{raw.MessageAnnotations["x-opt-own"], raw.DeliveryAnnotations["own"], raw.Footer["foot"]},
			[]any{int32(5), "delivery", "note"})
		equal(t, message.ExpiresAt.Sub(*message.EnqueuedTime), time.Minute)
	}
	equal(t, found[0].RawAMQPMessage.Body.Data, [][]byte{{0, 255}, {}, []byte("A")})
	equal(t, found[1].RawAMQPMessage.Body.Sequence, [][]any{{int32(1), "two", []any{true}}})
	equal(t, found[2].RawAMQPMessage.Body.Value, any(map[string]any{"a": int64(7), "b": nil}))
	equal(t, found[3].RawAMQPMessage.Body, azservicebus.AMQPAnnotatedMessageBody{})
}

func TestWhatTheSDKSendsOurClientReceives(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	client, ctx := emulator.client(t), during(t, patience)
	sender := sender(t, client, "queue")
	must(t, sender.SendMessage(ctx, &azservicebus.Message{
		Body: []byte("\x00\xff"), MessageID: to("id"), SessionID: to("session"), PartitionKey: to("session"), ContentType: to("text/plain"),
		CorrelationID: to("correlation"), Subject: to("subject"), To: to("to"), ReplyTo: to("reply"),
		ReplyToSessionID: to("reply-session"), TimeToLive: to(time.Minute),
		ApplicationProperties: map[string]any{
			"nil": nil, "bool": false, "int": -7, "uint8": uint8(200), "double": 1.0 / 3, "string": "täxt", "uuid": peerKey,
			"time": peerWhen, "bytes": []byte{0, 255},
		},
	}, nil))
	must(t, sender.SendAMQPAnnotatedMessage(ctx, &azservicebus.AMQPAnnotatedMessage{
		Header:              &azservicebus.AMQPAnnotatedMessageHeader{Durable: true, Priority: 7},
		Properties:          &azservicebus.AMQPAnnotatedMessageProperties{MessageID: "id", UserID: []byte{1}, GroupSequence: to(uint32(3))},
		MessageAnnotations:  map[any]any{"x-opt-own": "annotation"},
		DeliveryAnnotations: map[any]any{"own": int32(9)},
		Footer:              map[any]any{"foot": "note"},
		Body:                azservicebus.AMQPAnnotatedMessageBody{Value: []any{int32(1), 2.5, "three", true}},
	}, nil))
	must(t, sender.SendAMQPAnnotatedMessage(ctx, &azservicebus.AMQPAnnotatedMessage{
		Body: azservicebus.AMQPAnnotatedMessageBody{Sequence: [][]any{{int32(1), "two"}}},
	}, nil))
	sendTexts(t, client, "queue", "in a batch")

	found := peer(t, emulator, []string{"receive", "queue", "4"})
	equal(t, len(found), 4)
	holding := func(message, wanted described) {
		t.Helper()
		for name, value := range wanted {
			equal(t, message[name], value)
		}
	}
	holding(found[0], described{
		"message_id": "id", "session_id": "session", "content_type": "text/plain", "correlation_id": "correlation",
		"subject": "subject", "to": "to", "reply_to": "reply", "reply_to_session_id": "reply-session", "time_to_live": 60_000.0,
		"body": typed("data", []any{"00ff"}),
	})
	properties := described{}
	for _, pair := range found[0]["application_properties"].([]any) {
		properties[pair.([]any)[0].(string)] = pair.([]any)[1]
	}
	equal(t, properties, described{
		"nil": typed("null", nil), "bool": typed("boolean", false), "int": typed("long", "-7"), "uint8": typed("ubyte", 200.0),
		"double": typed("double", double(1.0/3)), "string": typed("string", "täxt"),
		"uuid": typed("uuid", hex.EncodeToString(peerKey[:])), "time": typed("timestamp", float64(peerWhen.UnixMilli())),
		"bytes": typed("binary", "00ff"),
	})
	holding(found[1], described{
		"durable": true, "priority": 7.0, "user_id": "01", "group_sequence": 3.0,
		"footer": []any{[]any{"foot", typed("string", "note")}},
		"body": typed("value", typed("list", []any{
			typed("int", 1.0), typed("double", double(2.5)), typed("string", "three"), typed("boolean", true),
		})),
	})
	for place, wanted := range map[string][]any{
		"annotations":          {"x-opt-own", typed("string", "annotation")},
		"delivery_annotations": {"own", typed("int", 9.0)},
	} {
		holds(t, slices.ContainsFunc(found[1][place].([]any), func(pair any) bool {
			return reflect.DeepEqual(pair, any(wanted))
		}), "%v has no %v", found[1][place], wanted)
	}
	holding(found[2], described{"body": typed("sequence", []any{[]any{typed("int", 1.0), typed("string", "two")}})})
	holding(found[3], described{"body": typed("data", []any{hex.EncodeToString([]byte("in a batch"))})})
}

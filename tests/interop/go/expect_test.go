package interop

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
)

// during is a context of the test that ends in so long at the latest.
func during(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%T: %v", err, err)
	}
}

func equal[T any](t *testing.T, found, wanted T) {
	t.Helper()
	if !reflect.DeepEqual(found, wanted) {
		t.Fatalf("%#v is not %#v", found, wanted)
	}
}

// holds fails with a text unless the condition holds.
func holds(t *testing.T, condition bool, text string, arguments ...any) {
	t.Helper()
	if !condition {
		t.Fatalf(text, arguments...)
	}
}

// fails expects the SDK's error with this code.
func fails(t *testing.T, err error, code azservicebus.Code) {
	t.Helper()
	var failure *azservicebus.Error
	if !errors.As(err, &failure) || failure.Code != code {
		t.Fatalf("%T %v is not an error with the code %q", err, err, code)
	}
}

// breaks expects an error of the peer with this condition.
func breaks(t *testing.T, err error, condition amqp.ErrCond) {
	t.Helper()
	var failure *amqp.Error
	if !errors.As(err, &failure) || failure.Condition != condition {
		t.Fatalf("%T %v is not an error with the condition %q", err, err, condition)
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func to[T any](value T) *T {
	return &value
}

// timeIn is so many seconds from now.
func timeIn(seconds int) time.Time {
	return time.Now().Add(time.Duration(seconds) * time.Second)
}

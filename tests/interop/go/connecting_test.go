package interop

// Ways to the emulator: TLS, WebSockets, a custom endpoint, tokens from outside.

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/coder/websocket"
)

// exchange sends, receives, renews and settles over a client: links and `$management` work.
func exchange(t *testing.T, client *azservicebus.Client) {
	t.Helper()
	ctx := during(t, patience)
	sendTexts(t, client, "queue", "complete", "dead")
	large := strings.Repeat("large", 50_000)
	must(t, sender(t, client, "queue").SendMessage(ctx, text(large), nil))
	on, dead := receiver(t, client, "queue", nil), receiver(t, client, "queue", deadLetters)
	messages := receive(t, on, 3)
	equal(t, bodies(messages), []string{"complete", "dead", large})
	must(t, on.RenewMessageLock(ctx, messages[0], nil))
	complete(t, on, messages[0], messages[2])
	must(t, on.DeadLetterMessage(ctx, messages[1], &azservicebus.DeadLetterOptions{Reason: to("why not")}))
	found := receiveOne(t, dead)
	equal(t, *found.DeadLetterReason, "why not")
	complete(t, dead, found)
	session := accept(t, client, "session", "a")
	must(t, session.SetSessionState(ctx, []byte("state"), nil))
	state, err := session.GetSessionState(ctx, nil)
	must(t, err)
	equal(t, string(state), "state")
}

func TestOverTLSWithTheEmulatorsCertificate(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	counters := emulator.counters(t)
	address := overTLS(emulator.secure, rootName, rootKey)
	exchange(t, connect(t, address, &azservicebus.ClientOptions{TLSConfig: trusting(), RetryOptions: quick}))
	counters.counted(t, map[string]int64{"connections-accepted": 1, "settled-by-management": 0})
	// Who does not know the certificate does not speak to the emulator.
	stranger := connect(t, address, &azservicebus.ClientOptions{TLSConfig: &tls.Config{ServerName: "localhost"}, RetryOptions: once})
	err := sender(t, stranger, "queue").SendMessage(during(t, patience), text("x"), nil)
	holds(t, err != nil && strings.Contains(err.Error(), "certificate"), "%v", err)
}

func TestThroughACustomEndpoint(t *testing.T) {
	t.Parallel()
	// The namespace has its name, and is somewhere else.
	emulator := start(t)
	exchange(t, connect(t, overTLS("interop.servicebus.windows.net", rootName, rootKey), &azservicebus.ClientOptions{
		CustomEndpoint: emulator.secure, TLSConfig: trusting(), RetryOptions: quick,
	}))
	// In plain text too.
	emulator = start(t)
	exchange(t, connect(t, strings.Replace(emulator.connectionString, emulator.plain, "elsewhere", 1),
		&azservicebus.ClientOptions{CustomEndpoint: emulator.plain, RetryOptions: quick}))
}

// dialing opens WebSockets at the address that the SDK asks for, or at the same one in plain text.
func dialing(plain bool, dialled *atomic.Int64) func(context.Context, azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
	return func(ctx context.Context, arguments azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
		dialled.Add(1)
		address, options := arguments.Host, &websocket.DialOptions{Subprotocols: []string{"amqp"}}
		if plain {
			address = strings.Replace(address, "wss://", "ws://", 1)
		} else {
			options.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: trusting()}}
		}
		socket, _, err := websocket.Dial(ctx, address, options)
		if err != nil {
			return nil, err
		}
		return websocket.NetConn(context.Background(), socket, websocket.MessageBinary), nil
	}
}

func TestOverWebSocketsSND2(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{true, false} {
		emulator := start(t)
		counters, dialled := emulator.counters(t), &atomic.Int64{}
		connectionString := emulator.connectionString
		if !plain {
			connectionString = overTLS(emulator.secure, rootName, rootKey)
		}
		exchange(t, connect(t, connectionString, &azservicebus.ClientOptions{
			NewWebSocketConn: dialing(plain, dialled), RetryOptions: quick,
		}))
		equal(t, dialled.Load(), 1)
		counters.counted(t, map[string]int64{"connections-accepted": 1, "settled-by-management": 0})
	}
}

// credential gives tokens that nobody signed, each good for so long.
type credential struct {
	life  time.Duration
	given atomic.Int64
	scope atomic.Value
}

func (c *credential) GetToken(_ context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.given.Add(1)
	c.scope.Store(options.Scopes[0])
	end := time.Now().Add(c.life)
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	token := part(`{"alg":"RS256","typ":"JWT"}`) + "." + part(fmt.Sprintf(`{"exp":%d}`, end.Unix())) + ".c2ln"
	return azcore.AccessToken{Token: token, ExpiresOn: end}, nil
}

func TestWithATokenCredential(t *testing.T) {
	t.Parallel()
	emulator := start(t)
	tokens := &credential{life: time.Hour}
	client, err := azservicebus.NewClient(emulator.secure, tokens, &azservicebus.ClientOptions{TLSConfig: trusting(), RetryOptions: quick})
	must(t, err)
	closing(t, client)
	exchange(t, client)
	holds(t, tokens.given.Load() > 0, "nobody asked for a token")
	equal(t, tokens.scope.Load(), any("https://servicebus.azure.net//.default"))

	expired, err := azservicebus.NewClient(emulator.secure, &credential{life: -time.Minute}, &azservicebus.ClientOptions{
		TLSConfig: trusting(), RetryOptions: quick,
	})
	must(t, err)
	closing(t, expired)
	fails(t, sender(t, expired, "queue").SendMessage(during(t, patience), text("x"), nil), azservicebus.CodeUnauthorizedAccess)
}

type nothingToShow struct{}

var errNothing = errors.New("no token today")

func (nothingToShow) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, errNothing
}

func TestACredentialThatFailsIsReportedAsItIs(t *testing.T) {
	t.Parallel()
	client, err := azservicebus.NewClient(start(t).secure, nothingToShow{}, &azservicebus.ClientOptions{
		TLSConfig: trusting(), RetryOptions: once,
	})
	must(t, err)
	closing(t, client)
	err = sender(t, client, "queue").SendMessage(during(t, patience), text("x"), nil)
	holds(t, err != nil && strings.Contains(err.Error(), errNothing.Error()), "%v", err)
}

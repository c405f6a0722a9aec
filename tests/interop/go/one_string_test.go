package interop

import (
	"context"
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"
)

// The example of the emulator's README, word for word, with the strings that the emulator prints.
func TestOneConnectionStringIsForMessagesAndAdministration(t *testing.T) {
	e := start(t)
	for name, connectionString := range map[string]string{
		"plain":                e.connectionString,
		"TLS on the same port": overTLS(e.plain, rootName, rootKey),
		"TLS alone":            overTLS(e.secure, rootName, rootKey),
	} {
		t.Run(name, func(t *testing.T) { example(t, connectionString) })
	}
}

func example(t *testing.T, connectionString string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pool := certificate.pool

	trusting := &tls.Config{RootCAs: pool, ServerName: "localhost"} // pool has the certificate
	administration, err := admin.NewClientFromConnectionString(connectionString,
		&admin.ClientOptions{ClientOptions: azcore.ClientOptions{
			Transport: &http.Client{Transport: &http.Transport{TLSClientConfig: trusting}},
		}})
	must(t, err)
	_, err = administration.CreateQueue(ctx, "go", nil)
	must(t, err)

	client, err := azservicebus.NewClientFromConnectionString(connectionString,
		&azservicebus.ClientOptions{TLSConfig: trusting})
	must(t, err)
	sender, err := client.NewSender("go", nil)
	must(t, err)
	must(t, sender.SendMessage(ctx, &azservicebus.Message{Body: []byte("hello")}, nil))

	closing(t, client)
	properties, err := administration.GetQueueRuntimeProperties(ctx, "go", nil)
	must(t, err)
	equal(t, properties.TotalMessageCount, int64(1))
	_, err = administration.DeleteQueue(ctx, "go", nil)
	must(t, err)
}

// lines are those of a text, without indentation.
func lines(text string) string {
	var all []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		all = append(all, strings.TrimSpace(line))
	}
	return strings.Join(all, "\n")
}

func TestTheExampleOfTheReadmeIsTheOneThatIsTested(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "..", "emulator", "README.md"))
	must(t, err)
	source, err := os.ReadFile("one_string_test.go")
	must(t, err)
	_, block, found := strings.Cut(string(readme), "```go\n")
	block, _, ended := strings.Cut(block, "```")
	if !found || !ended || !strings.Contains(lines(string(source)), lines(block)) {
		t.Errorf("the README has another example:\n%s", block)
	}
}

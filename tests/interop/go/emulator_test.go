// Package interop runs the official SDK for Go against the emulator.
package interop

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"
)

const (
	rootName = "RootManageSharedAccessKey"
	rootKey  = "SAS_KEY_VALUE"
	// patience is how long anything that happens at once may take on a busy machine.
	patience = 30 * time.Second
)

// quick has short waits between attempts, which would only make the tests slow.
var quick = azservicebus.RetryOptions{MaxRetries: 3, RetryDelay: 10 * time.Millisecond, MaxRetryDelay: 50 * time.Millisecond}

// once makes one attempt only.
var once = azservicebus.RetryOptions{MaxRetries: -1}

// certificate is what every emulator shows, made once, and what clients have to trust.
var certificate struct {
	chain, key string
	pool       *x509.CertPool
}

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "interop-")
	if err == nil {
		err = makeCertificate(folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

func makeCertificate(folder string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	certificate.chain, certificate.key = filepath.Join(folder, "certificate.pem"), filepath.Join(folder, "key.pem")
	certificate.pool = x509.NewCertPool()
	certificate.pool.AppendCertsFromPEM(chain)
	if err := os.WriteFile(certificate.chain, chain, 0o600); err != nil {
		return err
	}
	return os.WriteFile(certificate.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
}

// trusting is how a client trusts the emulator's certificate. The SDK would ask for the name of the namespace with its
// port, which is no name of a server.
func trusting() *tls.Config {
	return &tls.Config{RootCAs: certificate.pool, ServerName: "localhost"}
}

// emulator is one in a process of its own, with the namespace of the suites. Every test has its own.
type emulator struct {
	// plain, secure and admin are where it listens: AMQP, AMQP over TLS, and the management API.
	plain, secure, admin string
	// connectionString has every right and is for plain AMQP.
	connectionString string
}

// start starts one that ends with the test.
func start(t *testing.T) *emulator {
	t.Helper()
	command := exec.Command(os.Getenv("SERVICEBUS_EMULATOR"),
		"-q", "--amqp-port", "0", "--tls-port", "0", "--admin-port", "0", "--config", filepath.Join("..", "namespace.json"),
		"--certificate", certificate.chain, "--key", certificate.key)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatalf("the emulator (SERVICEBUS_EMULATOR) did not start: %v", err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	})
	lines := bufio.NewScanner(out)
	lines.Scan()
	match := regexp.MustCompile(`^ready amqp=\S+:(\d+) tls=\S+:(\d+) admin=\S+:(\d+)$`).FindStringSubmatch(lines.Text())
	if match == nil {
		t.Fatalf("the emulator did not start: %q", lines.Text())
	}
	lines.Scan()
	return &emulator{
		plain: "localhost:" + match[1], secure: "localhost:" + match[2], admin: "localhost:" + match[3],
		connectionString: strings.TrimSpace(lines.Text()),
	}
}

// to is a connection string for plain AMQP with a key.
func (e *emulator) to(name, key string) string {
	return fmt.Sprintf("Endpoint=sb://%s;SharedAccessKeyName=%s;SharedAccessKey=%s;UseDevelopmentEmulator=true;", e.plain, name, key)
}

// overTLS is a connection string as one of the service, with the address of the TLS port or of the management API.
func overTLS(address, name, key string) string {
	return fmt.Sprintf("Endpoint=sb://%s;SharedAccessKeyName=%s;SharedAccessKey=%s", address, name, key)
}

// client is one with every right over plain AMQP, with short waits between attempts.
func (e *emulator) client(t *testing.T) *azservicebus.Client {
	t.Helper()
	return connect(t, e.connectionString, &azservicebus.ClientOptions{RetryOptions: quick})
}

// connect is a client that is closed with the test.
func connect(t *testing.T, connectionString string, options *azservicebus.ClientOptions) *azservicebus.Client {
	t.Helper()
	client, err := azservicebus.NewClientFromConnectionString(connectionString, options)
	must(t, err)
	closing(t, client)
	return client
}

// closing closes with the test.
func closing(t *testing.T, what interface{ Close(context.Context) error }) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := what.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// overHTTPS carries the requests of administration clients to the emulator, whose certificate it trusts.
func overHTTPS(t *testing.T) *http.Client {
	transport := &http.Transport{TLSClientConfig: trusting()}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// administration is an administration client with every right.
func (e *emulator) administration(t *testing.T) *admin.Client {
	t.Helper()
	return administer(t, overTLS(e.admin, rootName, rootKey))
}

func administer(t *testing.T, connectionString string) *admin.Client {
	t.Helper()
	options := &admin.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: overHTTPS(t)}}
	client, err := admin.NewClientFromConnectionString(connectionString, options)
	must(t, err)
	return client
}

// request makes one of the emulator's own requests.
func (e *emulator) request(t *testing.T, method, what string) *http.Response {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+e.admin+"/$emulator/"+what, nil)
	must(t, err)
	request.Header.Set("Authorization", sign("http://"+e.admin, rootName, rootKey, timeIn(3600)))
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	equal(t, response.StatusCode, http.StatusOK)
	return response
}

// order has the emulator delete `messages`, `entities`, `connections` or `links/<entity>`.
func (e *emulator) order(t *testing.T, what string) {
	t.Helper()
	e.request(t, http.MethodDelete, what).Body.Close()
}

// escape is what signatures cover of an address.
func escape(text string) string {
	return strings.ToLower(url.QueryEscape(text))
}

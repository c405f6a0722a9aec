package interop

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// proxy stands between clients and the emulator, and can cut what goes through it.
type proxy struct {
	listener net.Listener
	to       string
	mutex    sync.Mutex
	open     []net.Conn
}

// between starts one in front of an address.
func between(t *testing.T, address string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "localhost:0")
	must(t, err)
	p := &proxy{listener: listener, to: address}
	t.Cleanup(func() {
		listener.Close()
		p.cut()
	})
	go p.run()
	return p
}

func (p *proxy) run() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.to)
		if err != nil {
			near.Close()
			continue
		}
		p.mutex.Lock()
		p.open = append(p.open, near, far)
		p.mutex.Unlock()
		for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
			go func() {
				_, _ = io.Copy(pair[0], pair[1])
				near.Close()
				far.Close()
			}()
		}
	}
}

// cut ends every connection without a word.
func (p *proxy) cut() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, connection := range p.open {
		connection.Close()
	}
	p.open = nil
}

// through is the emulator's connection string by way of the proxy.
func (p *proxy) through(e *emulator) string {
	_, port, _ := net.SplitHostPort(p.listener.Addr().String())
	return strings.Replace(e.connectionString, e.plain, "localhost:"+port, 1)
}

package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// proxy is a network between a process and etcd that delays answers, holds
// requests back and can be cut. A cut network loses everything and says nothing:
// connections stay open. One that is cut for a while, in one direction or both, loses
// what is on its way, and the connections that lost something with it when it heals.
type proxy struct {
	url   string
	net   string // of the far side: tcp or unix
	to    string
	mu    sync.Mutex
	delay time.Duration // of answers, not of requests
	dam   chan struct{} // requests wait until it is closed; nil: they pass
	cut   chan struct{} // closed by the cut
	deaf  loss          // of the network, for a while
	torn  []func()      // end the connections that lost something
}

// loss says in which direction a network loses everything.
type loss struct{ requests, answers bool }

// lose cuts the network for a while.
func (p *proxy) lose(l loss) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = l
}

// heal ends that. Connections with holes in them end.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = loss{}
	for _, end := range p.torn {
		end()
	}
	p.torn = nil
}

// loses says whether what comes now in some direction is lost; if so, end is called when the network heals.
func (p *proxy) loses(requests bool, end func()) bool {
	if p.isCut() {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if requests && p.deaf.requests || !requests && p.deaf.answers {
		p.torn = append(p.torn, end)
		return true
	}
	return false
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	network, to, _ := strings.Cut(strings.Replace(to, "http:", "tcp:", 1), "://")
	p := &proxy{url: "http://" + l.Addr().String(), net: network, to: to, cut: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		l.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.carry(ctx, conn) })
		}
	})
	return p
}

// slow delays each answer from now on.
func (p *proxy) slow(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// hold keeps all requests back until the returned function lets them go.
func (p *proxy) hold() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	dam := make(chan struct{})
	p.dam = dam
	return func() { close(dam) }
}

func (p *proxy) held() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dam == nil {
		open := make(chan struct{})
		close(open)
		return open
	}
	return p.dam
}

func (p *proxy) lag() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delay
}

func (p *proxy) isCut() bool {
	select {
	case <-p.cut:
		return true
	default:
		return false
	}
}

// carry connects both sides until one of them, or the test, ends it.
func (p *proxy) carry(ctx context.Context, near net.Conn) {
	defer near.Close()
	far, err := net.Dial(p.net, p.to)
	if err != nil {
		return
	}
	defer far.Close()
	off := context.AfterFunc(ctx, func() { near.Close(); far.Close() })
	defer off()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { p.requests(ctx, far, near) })
	p.answers(ctx, near, far)
	near.Close()
}

// requests pass in order, at once or when they are let go, and into the void once
// the network is cut.
func (p *proxy) requests(ctx context.Context, far, near net.Conn) {
	b := make([]byte, 64<<10)
	for {
		n, err := near.Read(b)
		select {
		case <-p.held():
		case <-ctx.Done():
			return
		}
		if !p.loses(true, func() { near.Close(); far.Close() }) {
			if _, werr := far.Write(b[:n]); err == nil {
				err = werr
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				far.Close()
			}
			return
		}
	}
}

// answers pass in order, each after its delay.
func (p *proxy) answers(ctx context.Context, near, far net.Conn) {
	type packet struct {
		b  []byte
		at time.Time
	}
	packets := make(chan packet, 10_000)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for pk := range packets {
			select {
			case <-time.After(time.Until(pk.at)):
			case <-ctx.Done():
			}
			if !p.loses(false, func() { near.Close(); far.Close() }) {
				_, _ = near.Write(pk.b) // who does not read, has ended
			}
		}
	})
	defer close(packets)
	for {
		b := make([]byte, 16<<10)
		n, err := far.Read(b)
		if n > 0 {
			packets <- packet{b[:n], time.Now().Add(p.lag())}
		}
		if err != nil {
			return
		}
	}
}

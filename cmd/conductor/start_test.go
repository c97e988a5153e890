package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// While an earlier session of its host name lives, a conductor says that it starts.
func TestServeStarting(t *testing.T) {
	l := newLab(t)
	earlier, err := lease.Open(t.Context(), l.client, lease.Config{Holder: "c1", TTL: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	ctx, cancel := context.WithCancel(t.Context())
	stderr := &syncBuffer{}
	p := program{in: strings.NewReader(""), out: io.Discard, err: stderr, env: func(string) string { return "" }}
	done := make(chan int, 1)
	go func() {
		done <- p.run(ctx, []string{"serve", "--data-dir", t.TempDir(), "--listen", address, "--host", "c1", "--etcd-endpoints", l.endpoint})
	}()
	defer func() {
		cancel()
		if code := <-done; code != exitOK {
			t.Errorf("serve ended with %d: %s", code, stderr)
		}
	}()
	awaitAnswer(t, "http://"+address+"/readyz", http.StatusServiceUnavailable, "starting")
	awaitAnswer(t, "http://"+address+"/livez", http.StatusOK, "ok")
	if err := earlier.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitAnswer(t, "http://"+address+"/readyz", http.StatusOK, "ok")
}

// awaitAnswer waits until a page is as it should be.
func awaitAnswer(t *testing.T, url string, code int, text string) {
	t.Helper()
	got := ""
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		r, err := http.Get(url)
		if err != nil {
			got = err.Error()
			continue
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if got = r.Status + " " + string(body); r.StatusCode == code && strings.Contains(got, text) {
			return
		}
	}
	t.Fatalf("%s: got %s, want %d and %q", url, got, code, text)
}

// An etcd that falls silent before the session is open does not hang the start.
func TestKeepIsTold(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	o := etcdOptions{endpoints: []string{"http://" + silent.Addr().String()}, prefix: lease.DefaultRoot, answerIn: 100 * time.Millisecond}
	config, err := o.clientConfig()
	if err != nil {
		t.Fatal(err)
	}
	config.DialTimeout = 0 // it is there: New need not wait for it
	log := &syncBuffer{}
	s := &service{o: &serveOptions{etcd: o}, log: slog.New(slog.NewTextHandler(log, nil)), endpoints: o.endpoints}
	if s.client, err = clientv3.New(config); err != nil {
		t.Fatal(err)
	}
	defer s.client.Close()
	if _, err := s.keep(t.Context(), lease.Config{Holder: "c1"}); !errors.Is(err, errUnreachable) {
		t.Errorf("got %v, want that etcd does not answer", err)
	}
	if !strings.Contains(log.String(), "waiting for etcd") {
		t.Errorf("the log says %q", log)
	}
}

func TestAgain(t *testing.T) {
	away := status.Error(codes.Unavailable, "away")
	for _, c := range []struct {
		name  string
		retry time.Duration
		errs  []error // of one try after the other
		want  error
	}{
		{"at once", 0, []error{nil}, nil},
		{"not to be tried again", 0, []error{away}, errUnreachable},
		{"after a while", time.Minute, []error{away, nil}, nil},
		{"refused", time.Minute, []error{io.EOF}, io.EOF},
	} {
		o := etcdOptions{answerIn: time.Second, retry: c.retry}
		tries := 0
		err := o.again(t.Context(), nil, func(ctx context.Context) error {
			if _, ok := ctx.Deadline(); !ok {
				t.Errorf("%s: no deadline", c.name)
			}
			tries++
			return c.errs[tries-1]
		})
		if !errors.Is(err, c.want) || tries != len(c.errs) {
			t.Errorf("%s: got %v after %d tries, want %v after %d", c.name, err, tries, c.want, len(c.errs))
		}
	}
}

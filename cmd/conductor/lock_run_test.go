package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// The arguments of the command may be secrets: nobody else is told them.
func TestLockRunKeepsArguments(t *testing.T) {
	l := newLab(t)
	p := l.holdBy("n1", "--", "/bin/sh", "-c", "echo up; exec sleep 1000", "ipmitool", "-P", "hunter2")
	r, err := l.client.Get(t.Context(), lease.DefaultRoot, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range r.Kvs {
		if strings.Contains(string(kv.Value), "hunter2") || strings.Contains(string(kv.Value), "sleep") {
			t.Errorf("%s holds %s", kv.Key, kv.Value)
		}
	}
	if v := l.shown(); len(v.Holders) != 1 || v.Holders[0].Purpose != "sh" || v.Intent == nil || v.Intent.Detail != "sh" {
		t.Errorf("lock show: got %+v, want the name of the command only", v)
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	p.end()
}

// Who is gone between the grant and the start of the command, gets the lock back
// unused; and an entry that is gone starts nothing.
func TestLockRunStartsNothing(t *testing.T) {
	l := newLab(t)
	session, err := lease.Open(t.Context(), l.client, lease.Config{Holder: "h1", TTL: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(context.WithoutCancel(t.Context()))
	file := filepath.Join(t.TempDir(), "started")
	path, err := exec.LookPath("touch")
	if err != nil {
		t.Fatal(err)
	}
	away, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		root string
		want error
	}{
		{"the user is gone", away, lease.DefaultRoot, errInterrupted},
		{"the entry is gone", t.Context(), "/elsewhere/", lease.ErrLost},
	} {
		lock, err := session.Acquire(t.Context(), lease.Request{Name: string(l.node.UUID), Mode: lease.Exclusive, Purpose: "test"})
		if err != nil {
			t.Fatal(err)
		}
		r := &running{lockVerbs: &lockVerbs{program: program{in: strings.NewReader(""), out: io.Discard, err: io.Discard}}, margin: time.Second}
		r.etcd.answerIn = 5 * time.Second
		k := keyspace{client: l.client, locks: lease.Locks{Client: l.client, Root: c.root}}
		if err := r.hold(c.ctx, k, lock, "n1", path, []string{"touch", file}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the command was started", c.name)
		}
		if v := l.shown(); len(v.Holders) != 0 || v.Intent != nil {
			t.Errorf("%s: got %+v, want a free lock and no intent", c.name, v)
		}
	}
}

func TestMayStart(t *testing.T) {
	ctx := t.Context()
	lost, cancel := context.WithCancelCause(ctx)
	cancel(lease.ErrLost)
	for _, c := range []struct {
		name    string
		lock    context.Context
		signals []os.Signal
		want    error
	}{
		{"all is well", ctx, nil, nil},
		{"a window was resized", ctx, []os.Signal{syscall.SIGWINCH}, nil},
		{"asked to end", ctx, []os.Signal{syscall.SIGWINCH, syscall.SIGTERM}, errInterrupted},
		{"the lock is lost", lost, nil, lease.ErrLost},
	} {
		signals := make(chan os.Signal, len(c.signals))
		for _, s := range c.signals {
			signals <- s
		}
		if err := mayStart(ctx, c.lock, signals); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

// A text that every conductor would have to carry is refused, and etcd is not asked.
func TestTooLong(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	for flag, args := range map[string][]string{
		"purpose": {"lock", "run", "--purpose", long, "n1", "--", "true"},
		"holder":  {"lock", "run", "--holder", long, "n1", "--", "true"},
		"reason":  {"lock", "break", "n1", "--yes", "--revision", "1", "--reason", long},
		"by":      {"lock", "break", "n1", "--yes", "--revision", "1", "--reason", "x", "--by", long},
	} {
		code, _, errs := runAs(t, nil, args...)
		if code != exitUsage || !strings.Contains(errs, "--"+flag+" has 1025 bytes: want at most 1024") {
			t.Errorf("%s: got code %d and %q", flag, code, errs)
		}
	}
	if err := tooLong(map[string]string{"purpose": long[1:]}); err != nil {
		t.Errorf("the longest: got %v", err)
	}
}

func TestAbandonedSaysHowToSettle(t *testing.T) {
	v := lockView{Node: "u1", Name: "n1", Abandoned: true, Intent: &lease.Intent{Holder: "c1", Purpose: "power on"}}
	rows := v.fields()
	if got := rows[len(rows)-1][1]; !strings.Contains(got, `"power on" of c1`) || !strings.Contains(got, "conductor lock run --settle n1 -- CMD") {
		t.Errorf("got %q", got)
	}
}

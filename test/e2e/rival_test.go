package e2e

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The rival is plain "etcdctl lock": a foreign program that knows nothing of
// conductors and queues at the same place.

func TestRivalWaitsForUs(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	id := e.create("n1")
	a := startHolder(t, e.endpoints(), "a")
	a.lock(id, "exclusive")
	rival := e.startEtcdctl("lock", root+"locks/"+id, "echo", "rival got it")
	e.queued(id, 2)
	if out := must(t, e.lockCommand("show", "n1")...); !strings.Contains(out, "waits 1") || !strings.Contains(out, "foreign") {
		t.Errorf("lock show: %s", out)
	}
	a.tell("downgrade %s", id)
	if got := a.hear("downgraded", 5*time.Second); got.Mode != "exclusive" || !strings.Contains(got.Err, "foreign") {
		t.Errorf("downgrade with a rival in the queue: %+v", got)
	}
	if out := rival.out.text(); out != "" {
		t.Errorf("the rival had %q while we held the lock", out)
	}
	at := time.Now()
	a.tell("release %s", id)
	r := rival.finish(10 * time.Second)
	t.Logf("the rival had the lock and had ended %s after our release", time.Since(at).Round(time.Millisecond))
	if r.code != 0 || !strings.Contains(r.out, "rival got it") {
		t.Errorf("the rival: %s", r)
	}
	a.close()
	e.audit()
}

func TestWeWaitForRival(t *testing.T) {
	need(t)
	t.Parallel()
	for _, c := range []struct {
		name  string
		end   syscall.Signal
		ttl   int // of its lease, in seconds
		limit time.Duration
	}{
		{"ends", syscall.SIGINT, 30, 10 * time.Second},
		{"killed", syscall.SIGKILL, 4, 4*time.Second + election},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := startEtcd(t, 1)
			id := e.create("n1")
			a := startHolder(t, e.endpoints(), "a")
			rival := e.startEtcdctl("lock", "--ttl", strconv.Itoa(c.ttl), root+"locks/"+id)
			key := rival.line(rival.out, root, 10*time.Second)
			if r := command(t, append(e.lockCommand("run"), "n1", "--", "true")...); r.code != 4 || !strings.Contains(r.err, "foreign") {
				t.Errorf("lock run beside a rival: %s", r)
			}
			a.tell("lock %s shared -1 look", id)
			e.queued(id, 2)
			out := must(t, e.lockCommand("list", "-o", "json")...)
			if !strings.Contains(out, key) || !strings.Contains(out, `"foreign": true`) {
				t.Errorf("lock list does not show %s: %s", key, out)
			}
			at := time.Now()
			rival.signal(c.end)
			got := a.hear("acquired", 15*time.Second)
			took := got.At.Sub(at)
			t.Logf("the rival %s: we held the lock after %s", c.name, took.Round(time.Millisecond))
			if took > c.limit {
				t.Errorf("we held the lock after %s, want at most %s", took, c.limit)
			}
			a.close()
			e.audit()
		})
	}
}

// Both in turns, many times: the audit must find nobody inside with another.
func TestRivalsTakeTurns(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	a, b := startHolder(t, e.endpoints(), "a"), startHolder(t, e.endpoints(), "b")
	var rivals []*process
	for range 5 {
		rivals = append(rivals, e.startEtcdctl("lock", root+"locks/n", "true"))
		a.tell("contend n 10")
		b.tell("contend n 10")
	}
	for range 5 {
		a.hear("contended", 30*time.Second)
		b.hear("contended", 30*time.Second)
	}
	for _, r := range rivals {
		if r.exit(30*time.Second) != 0 {
			t.Errorf("a rival failed: %s", r.err.text())
		}
	}
	a.close()
	b.close()
	e.audit()
}

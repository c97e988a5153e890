package e2e

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// written is what a record of the holder program says.
type written struct {
	Value string
	By    struct {
		Ticket string
		Token  int64
	} `json:"written_by"`
}

// writers returns how often each ticket wrote the record of a node, and fails the
// test if one wrote after another with a higher token.
func (e *etcd) writers(name string) map[string]int {
	e.t.Helper()
	n := map[string]int{}
	var last written
	for _, ev := range e.history("nodes/" + name) {
		var w written
		if err := json.Unmarshal(ev.Kv.Value, &w); err != nil {
			e.t.Fatalf("record %s: %v", ev.Kv.Value, err)
		}
		if w.By.Token < last.By.Token {
			e.t.Errorf("revision %d: %+v was written after %+v", ev.Kv.ModRevision, w, last)
		}
		last = w
		n[w.By.Ticket]++
	}
	return n
}

// A holder that is stopped in the middle of its writes, and wakes up when another
// has long been at work, changes nothing any more.
func TestPausedHolder(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	a, b := startHolder(t, e.endpoints(), "a", "-ttl", shortTTL.String()), startHolder(t, e.endpoints(), "b")
	old := a.lock("n", "exclusive")
	a.tell("loop n")
	a.hear("looping", 5*time.Second)
	b.tell("lock n exclusive -1 next")
	e.queued("n", 2)
	at := time.Now()
	a.pause()
	got := b.hear("acquired", shortTTL+10*time.Second)
	took := got.At.Sub(at)
	b.tell("write n mine")
	b.hear("wrote", 5*time.Second)
	a.resume()
	woke := time.Now()
	ended, stopped := a.hear("ended", 5*time.Second), a.hear("stopped", 5*time.Second)
	a.hear("session ended", 5*time.Second)
	t.Logf("stopped for %s, lost to the next one after %s; told %s after it woke up, with %d writes made and %v refused by etcd",
		woke.Sub(at).Round(time.Millisecond), took.Round(time.Millisecond), ended.At.Sub(woke).Round(time.Microsecond),
		stopped.N, a.metrics()["conductor_fence_rejections_total"])
	if took > shortTTL+election {
		t.Errorf("the next one held the lock after %s", took)
	}
	if !ended.Lost || !stopped.Lost {
		t.Errorf("the stopped one was told %q and %q, want that the lock is lost", ended.Err, stopped.Err)
	}
	if a.metrics()["conductor_lock_lost_total"] != 1 {
		t.Errorf("locks lost: %v, want 1", a.metrics()["conductor_lock_lost_total"])
	}
	a.tell("release n") // must not touch the other's lock
	if r := a.hear("released", 5*time.Second); !r.Lost {
		t.Errorf("release of the lost lock: %q", r.Err)
	}
	if n := e.writers("n"); n[got.Ticket] != 1 || n[old.Ticket] < 1 {
		t.Errorf("writes by ticket: %v", n)
	}
	e.queued("n", 1)
	b.tell("release n")
	b.hear("released", 5*time.Second)
	b.close()
	e.audit()
}

// A write that is under way when the lock ends is refused by etcd, and counted.
// The holder must be faster to write than to hear that its entry is gone, so it is
// stopped for a moment while that happens, and the rounds are repeated until it was.
func TestLateWrite(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	a, b := startHolder(t, e.endpoints(), "a"), startHolder(t, e.endpoints(), "b")
	const rounds = 30
	for round := 1; ; round++ {
		name := fmt.Sprint("n", round)
		old := a.lock(name, "exclusive")
		a.tell("loop %s", name)
		a.hear("looping", 5*time.Second)
		a.pause()
		e.etcdctl("del", old.Key)
		got := b.lock(name, "exclusive")
		b.tell("write %s mine", name)
		b.hear("wrote", 5*time.Second)
		a.resume()
		if s := a.hear("stopped", 5*time.Second); !s.Lost {
			t.Fatalf("the late write: %q", s.Err)
		}
		if n := e.writers(name); n[got.Ticket] != 1 {
			t.Errorf("writes by ticket: %v", n)
		}
		b.tell("release %s", name)
		b.hear("released", 5*time.Second)
		if n := a.metrics()["conductor_fence_rejections_total"]; n > 0 {
			t.Logf("%d rounds until etcd had to refuse a late write; %v refused", round, n)
			break
		}
		if round == rounds {
			t.Errorf("in %d rounds no late write reached etcd", rounds)
			break
		}
	}
	a.close()
	b.close()
	e.audit()
}

// A lock run that was stopped for too long ends its command and says so.
func TestPausedLockRun(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	id := e.create("n1")
	ttl := []string{"--lease-ttl", shortTTL.String()}
	a := e.startRun(append(ttl, "--holder", "a"), "n1", "sh", "-c", "echo $$; exec sleep 60")
	child, err := strconv.Atoi(a.line(a.out, "", 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	b := e.startRun(append(ttl, "--wait", "20s"), "n1", "echo", "got it")
	e.queued(id, 2)
	a.pause()
	if r := b.finish(20 * time.Second); r.code != 0 || !strings.Contains(r.err, "cut off") {
		t.Errorf("the next lock run: %s", r)
	}
	a.resume()
	woke := time.Now()
	r := a.finish(10 * time.Second)
	t.Logf("lock run ended %s after it woke up", time.Since(woke).Round(time.Millisecond))
	if r.code != 7 || !strings.Contains(r.err, "lost") {
		t.Errorf("the stopped lock run: %s, want exit code 7", r)
	}
	if err := alive(child); err != nil {
		t.Error(err)
	}
	e.audit()
}

// A lock run whose lock an operator breaks ends its command.
func TestBrokenLockRun(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	e.create("n1")
	a := e.startRun([]string{"--holder", "a"}, "n1", "sh", "-c", "echo up; exec sleep 60")
	a.line(a.out, "up", 10*time.Second)
	var shown struct{ Holders []struct{ Revision int64 } }
	if err := json.Unmarshal([]byte(must(t, e.lockCommand("show", "-o", "json", "n1")...)), &shown); err != nil || len(shown.Holders) != 1 {
		t.Fatalf("lock show: %v, %+v", err, shown)
	}
	revision := shown.Holders[0].Revision
	watch := start(t, "lock watch", nil, conductorProgram.get(t), e.lockCommand("watch", "n1")...)
	watch.line(watch.out, "granted", 10*time.Second)
	breaking := func(revision int64, flags ...string) result {
		return command(t, append(e.lockCommand("break", "--yes", "--reason", "test", "--revision", fmt.Sprint(revision), "n1"), flags...)...)
	}
	if r := breaking(revision-1, "--even-if-alive"); r.code != 4 {
		t.Errorf("break of another revision: %s", r)
	}
	if r := breaking(revision); r.code != 4 || !strings.Contains(r.err, "alive") {
		t.Errorf("break of a live holder's lock: %s", r)
	}
	if !a.running() {
		t.Fatal("the lock run has ended")
	}
	at := time.Now()
	if r := breaking(revision, "--even-if-alive"); r.code != 0 {
		t.Fatalf("break: %s", r)
	}
	r := a.finish(10 * time.Second)
	t.Logf("lock run had ended its command %s after the break was asked for", time.Since(at).Round(time.Millisecond))
	if r.code != 7 || !strings.Contains(r.err, "broken") {
		t.Errorf("the broken lock run: %s, want exit code 7", r)
	}
	watch.line(watch.out, "broken", 5*time.Second)
	if keys := e.keys("events/"); len(keys) != 1 {
		t.Errorf("events: %v, want that of the break", keys)
	}
	e.audit()
}

// A conductor that is stopped in the middle of a power action loses the node to
// another, notices, writes nothing of it, and works on.
func TestPausedConductor(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	flags := []string{
		"--etcd-endpoints", e.endpoints(), "--lease-ttl", shortTTL.String(), "--lock-delay", "1s", "--command-timeout", "20s", "--takeover=false",
	}
	a := serve(t, "a", append(flags, "--fake-delay", "power=2")...)
	b := serve(t, "b", flags...)
	id := e.create("n1")
	b.node("power", "on", "n1", "--wait=20s", "--lock-wait", "20s")
	a.powerHere(id, "power off")
	eventually(t, 5*time.Second, "a holds the node", func() error {
		if s := b.states(id); s.Reservation == nil || *s.Reservation != "a" {
			return fmt.Errorf("%s", s)
		}
		return nil
	})
	a.pause()
	at := time.Now()
	b.powerHere(id, "power on")
	eventually(t, 20*time.Second, "b has switched n1 on", func() error {
		if s := b.states(id); s.Power == nil || *s.Power != "power on" || s.PowerTarget != nil {
			return fmt.Errorf("%s", s)
		}
		return nil
	})
	took := time.Since(at)
	s := b.states(id)
	a.resume()
	back := a.ready(15 * time.Second)
	after := b.states(id)
	t.Logf("stopped in a power action: another's was done after %s (%s); ready again %s after it woke up; locks lost %v, late writes refused %v",
		took.Round(time.Millisecond), s, back.Round(time.Millisecond), a.metric("conductor_lock_lost_total"), a.metric("conductor_fence_rejections_total"))
	eventually(t, 10*time.Second, "the lost lock is counted", func() error {
		if n := a.metric("conductor_lock_lost_total"); n != 1 {
			return fmt.Errorf("%v", n)
		}
		return nil
	})
	if s.String() != after.String() {
		t.Errorf("the node was %s and is %s", s, after)
	}
	if s.Power == nil || *s.Power != "power on" {
		t.Errorf("the node is %s", s)
	}
	a.node("power", "off", "n1", "--wait=20s", "--lock-wait", "20s")
	if a.stop() != 0 || b.stop() != 0 {
		t.Error("a conductor did not stop in order")
	}
	e.none("locks/", time.Second)
	e.audit()
}

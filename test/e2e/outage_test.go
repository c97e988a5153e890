package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Without etcd every verb says so within its time and with an exit code of its own.
func TestNoEtcd(t *testing.T) {
	need(t)
	t.Parallel()
	nobody := fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	for _, args := range [][]string{
		{"serve", "--listen", "127.0.0.1:0", "--host", "c", "--data-dir", t.TempDir(), "--etcd-endpoints", nobody},
		{"lock", "list", "--etcd-endpoints", nobody},
		{"lock", "run", "--etcd-endpoints", nobody, "n1", "--", "true"},
		{"audit", "--etcd-endpoints", nobody},
		{"node", "list", "--server", nobody},
		{"health", "--server", nobody},
	} {
		at := time.Now()
		r := command(t, args...)
		took := time.Since(at)
		t.Logf("conductor %s %s: exit code %d after %s: %s", args[0], args[1], r.code, took.Round(10*time.Millisecond), last(r.err))
		if r.code != 6 || !strings.Contains(r.err, "does not answer") || !strings.Contains(r.err, nobody) {
			t.Errorf("conductor %s: %s, want exit code 6 and who does not answer", strings.Join(args, " "), r)
		}
		if took > 15*time.Second {
			t.Errorf("conductor %s took %s", strings.Join(args, " "), took)
		}
	}
}

func last(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// An etcd that is away for less than a TTL costs no lock.
func TestEtcdAwayForAMoment(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	h := startHolder(t, e.endpoints(), "h") // the default TTL, 15 s
	c := serve(t, "c", "--etcd-endpoints", e.endpoints())
	got := h.lock("n", "exclusive")
	e.members[0].pause()
	at := time.Now()
	<-time.After(5 * time.Second)
	e.members[0].resume()
	h.tell("write n after")
	w := h.hear("wrote", 15*time.Second)
	t.Logf("etcd was away for 5 s: a write was made %s after its return; the conductor was ready after %s",
		(time.Since(at) - 5*time.Second).Round(time.Millisecond), c.ready(15*time.Second).Round(time.Millisecond))
	if w.Err != "" {
		t.Errorf("write: %s", w.Err)
	}
	if keys := e.keys("locks/n/"); len(keys) != 1 || keys[0] != got.Key {
		t.Errorf("entries: %v, want %s", keys, got.Key)
	}
	h.tell("release n")
	if r := h.hear("released", 15*time.Second); r.Err != "" {
		t.Errorf("release: %s", r.Err)
	}
	if strings.Contains(h.out.text(), `"ended"`) && strings.Contains(h.out.text(), "lease_expired") {
		t.Error("the lock was lost")
	}
	if n := c.metric("conductor_lock_lost_total"); n != 0 {
		t.Errorf("%v locks lost", n)
	}
	h.close()
	e.audit()
}

// An etcd that is away for longer costs the locks: their holders are told while no
// other can have them yet, and work again by themselves once etcd is back. Three
// TTLs are enough: longer outages pass through no other states.
func TestEtcdAwayForLong(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	id := e.create("n1")
	const lives = 5 * time.Second
	ttl := []string{"--lease-ttl", lives.String()}
	c := serve(t, "c", append(ttl, "--etcd-endpoints", e.endpoints(), "--fake-delay", "power=60", "--command-timeout", "90s", "--lock-delay", "1s", "--takeover=false")...)
	h := startHolder(t, e.endpoints(), "h", "-ttl", lives.String())
	run := e.startRun(ttl, "n1", "sh", "-c", "echo $$; exec sleep 60")
	child, err := strconv.Atoi(run.line(run.out, "", 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	other := e.create("n2")
	c.node("power", "on", "n2")
	h.lock("n", "exclusive")
	e.members[0].pause()
	at := time.Now()
	eventually(t, lives+5*time.Second, "the command of lock run has been ended", func() error { return alive(child) })
	killed := time.Since(at)
	ended := h.hear("ended", lives+5*time.Second)
	told := ended.At.Sub(at)
	r := run.finish(2*lives + 5*time.Second)
	exited := time.Since(at)
	if told > lives || killed > lives {
		t.Errorf("told after %s, and the command ended after %s: want both before the TTL of %s", told, killed, lives)
	}
	if !ended.Lost || r.code != 7 {
		t.Errorf("told %q; lock run: %s", ended.Err, r)
	}
	if _, err := fetch(c.url + "/livez"); err != nil {
		t.Errorf("the conductor does not live without etcd: %v", err)
	}
	if status, text := c.call("GET", "/readyz", ""); status != 503 {
		t.Errorf("readyz without etcd: %d %s", status, text)
	}
	if status, text := c.call("GET", "/v1/nodes/"+id, ""); status < 500 {
		t.Errorf("a node without etcd: %d %s", status, text)
	}
	<-time.After(3*lives - time.Since(at))
	e.members[0].resume()
	back := c.ready(20 * time.Second)
	gone := e.none("locks/", 2*lives+election)
	t.Logf("etcd was away for three TTLs of %s: the holder was told after %s, the command of lock run had been ended after %s and lock run itself after %s; "+
		"etcd had let the entries go %s after its return, the conductor was ready after %s",
		lives, told.Round(time.Millisecond), killed.Round(time.Millisecond), exited.Round(time.Millisecond), gone.Round(time.Millisecond), back.Round(time.Millisecond))
	if n := c.metric("conductor_lock_lost_total"); n != 1 {
		t.Errorf("the conductor has lost %v locks, want 1", n)
	}
	if keys := e.keys("intents/"); len(keys) != 3 {
		t.Errorf("intents: %v, want three that were abandoned", keys)
	}
	again := startHolder(t, e.endpoints(), "again", "-ttl", lives.String())
	if got := again.lock(other, "exclusive"); got.Abandoned != "c" {
		t.Errorf("the next one at n2 is told of the work of %q", got.Abandoned)
	}
	again.close()
	must(t, append(e.lockCommand("run"), "n1", "--", "true")...)
	if c.stop() != 0 {
		t.Error("the conductor did not stop in order")
	}
	e.audit()
}

// Etcd may forget its history at any time, and does so here all the time.
func TestCompaction(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	a, b := startHolder(t, e.endpoints(), "a"), startHolder(t, e.endpoints(), "b")
	a.lock("n", "exclusive")
	for range 10 {
		a.tell("contend n 10")
		b.tell("contend n 10")
	}
	e.queued("n", 201)
	a.tell("release n")
	compactions, at := 0, time.Now()
	done := 0
	eventually(t, 30*time.Second, "all have had the lock", func() error {
		for range 5 {
			r, err := e.client().Get(t.Context(), root+"n", clientv3.WithCountOnly())
			if err != nil {
				return err
			}
			if _, err := e.client().Compact(t.Context(), r.Header.Revision); err == nil {
				compactions++
			}
		}
		if done = strings.Count(a.out.text(), `"contended"`) + strings.Count(b.out.text(), `"contended"`); done < 20 {
			return errNotYet
		}
		return nil
	})
	ma, mb := a.metrics(), b.metrics()
	t.Logf("200 requests among %d compactions in %s: %v watches were opened again, %v waiters were saved by the timer",
		compactions, time.Since(at).Round(time.Millisecond),
		ma["conductor_lock_watch_restarts_total"]+mb["conductor_lock_watch_restarts_total"],
		ma["conductor_lock_safety_timer_rescues_total"]+mb["conductor_lock_safety_timer_rescues_total"])
	a.close()
	b.close()
	e.audit()
}

// A conductor can be stopped, and a command ends, also when etcd is away for good.
func TestStopWithoutEtcd(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	ttl := []string{"--lease-ttl", "6s"}
	e.create("n1")
	c := serve(t, "c", append(ttl, "--etcd-endpoints", e.endpoints())...)
	run := e.startRun(ttl, "n1", "sh", "-c", "echo up; read line; exit 9")
	run.line(run.out, "up", 10*time.Second)
	e.members[0].kill()
	at := time.Now()
	_ = run.stdin.Close()
	r := run.finish(30 * time.Second)
	took := time.Since(at)
	at = time.Now()
	c.signal(syscall.SIGTERM)
	code := c.exit(30 * time.Second)
	t.Logf("without etcd (TTL 6s): lock run ended %s after its command, with its code %d; serve ended %s after SIGTERM, with exit code %d",
		took.Round(time.Millisecond), r.code, time.Since(at).Round(time.Millisecond), code)
	if r.code != 9 && r.code != 7 {
		t.Errorf("lock run: %s", r)
	}
	if code != 0 {
		t.Errorf("serve ended with exit code %d", code)
	}
}

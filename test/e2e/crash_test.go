package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shortTTL keeps the tests quick. The promises hold for every TTL; one test has
// the default.
const shortTTL = 3 * time.Second

// election is how much longer a lock may stand when etcd changes its leader, and
// what is allowed for the rest of the way too.
const election = 2 * time.Second

func TestKilledHolder(t *testing.T) {
	for _, ttl := range []time.Duration{shortTTL, 15 * time.Second} {
		t.Run(ttl.String(), func(t *testing.T) {
			t.Parallel()
			e := startEtcd(t, 1)
			var flags []string
			if ttl != 15*time.Second { // the default
				flags = []string{"-ttl", ttl.String()}
			}
			a, b := startHolder(t, e.endpoints(), "a", flags...), startHolder(t, e.endpoints(), "b")
			lost := a.lock("n", "exclusive")
			b.tell("lock n exclusive -1 next")
			e.queued("n", 2)
			killed := a.kill()
			got := b.hear("acquired", ttl+10*time.Second)
			took := got.At.Sub(killed)
			t.Logf("kill -9 of the holder: the next one held the lock after %s (TTL %s)", took.Round(time.Millisecond), ttl)
			if took > ttl+election {
				t.Errorf("the next one held the lock after %s, want at most %s", took, ttl+election)
			}
			if got.Abandoned != "a" {
				t.Errorf("the next one sees the abandoned work of %q, want that of a", got.Abandoned)
			}
			if got.Token <= lost.Token {
				t.Errorf("token %d after %d", got.Token, lost.Token)
			}
			if keys := e.keys("intents/"); len(keys) != 1 {
				t.Errorf("intents: %v, want the abandoned one", keys)
			}
			b.tell("settle n")
			b.tell("write n recovered")
			b.hear("wrote", 5*time.Second)
			b.tell("release n")
			b.hear("released", 5*time.Second)
			for _, dir := range []string{"locks/", "intents/"} {
				if keys := e.keys(dir); len(keys) > 0 {
					t.Errorf("left behind: %v", keys)
				}
			}
			b.close()
			e.audit()
		})
	}
}

func TestCleanStop(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	b := startHolder(t, e.endpoints(), "b")
	for _, end := range []string{"release n", "close"} {
		a := startHolder(t, e.endpoints(), "a")
		a.lock("n", "exclusive")
		b.tell("lock n exclusive -1 next")
		e.queued("n", 2)
		at := time.Now()
		a.tell("%s", end)
		got := b.hear("acquired", 10*time.Second)
		took := got.At.Sub(at)
		t.Logf("%s: the next one held the lock after %s (promised: 200ms)", end, took.Round(time.Microsecond))
		if took > 5*time.Second { // a third of the TTL: nobody waited for the lease to end
			t.Errorf("%s: the next one held the lock after %s", end, took)
		}
		b.tell("release n")
		b.hear("released", 5*time.Second)
		if end == "close" {
			a.exit(5 * time.Second)
			if got.Abandoned != "a" {
				t.Errorf("a session that closes over a lock leaves its work abandoned; the next one was told %q", got.Abandoned)
			}
			continue
		}
		if got.Abandoned != "" {
			t.Errorf("a clean release left work of %q", got.Abandoned)
		}
		a.close()
	}
	b.close()
	e.audit()
}

// A lock run that is killed takes its command with it, and the next is told.
func TestKilledLockRun(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	id := e.create("n1")
	ttl := []string{"--lease-ttl", shortTTL.String()}
	a := e.startRun(append(ttl, "--holder", "a", "--purpose", "first"), "n1", "sh", "-c", "echo $$; exec sleep 60")
	child, err := strconv.Atoi(a.line(a.out, "", 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	b := e.startRun([]string{"--wait", "20s"}, "n1", "echo", "got it")
	b.line(b.err, "waiting", 10*time.Second)
	e.queued(id, 2)
	killed := a.kill()
	dead := eventually(t, 2*time.Second, "the command of a killed lock run is dead", func() error { return alive(child) })
	b.line(b.out, "got it", 20*time.Second)
	took := time.Since(killed)
	r := b.finish(20 * time.Second)
	t.Logf("the command was dead after %s, the next one's ran after %s", dead.Round(time.Millisecond), took.Round(time.Millisecond))
	if r.code != 0 || !strings.Contains(r.out, "got it") || !strings.Contains(r.err, "cut off") {
		t.Errorf("the next lock run: %s", r)
	}
	if took > shortTTL+election {
		t.Errorf("the next command ran after %s, want at most %s", took, shortTTL+election)
	}
	e.audit()
}

// alive is an error while a process of another's lives.
func alive(pid int) error {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil && !strings.Contains(string(stat), ") Z ") && syscall.Kill(pid, 0) == nil {
		return fmt.Errorf("process %d lives", pid)
	}
	return nil
}

// The next holder has the lock at once when a lock run ends, however it does.
func TestLockRunEnds(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	e.create("n1")
	for _, c := range []struct {
		cmd    []string
		signal syscall.Signal
		code   int
	}{
		{[]string{"true"}, 0, 0},
		{[]string{"sh", "-c", "exit 9"}, 0, 9},
		{[]string{"sh", "-c", "echo up; exec sleep 60"}, syscall.SIGTERM, 128 + 15},
		{[]string{"no-such-command-here"}, 0, 127},
	} {
		p := e.startRun(nil, "n1", c.cmd...)
		if c.signal != 0 {
			p.line(p.out, "up", 10*time.Second)
			p.signal(c.signal)
		}
		if r := p.finish(10 * time.Second); r.code != c.code {
			t.Errorf("%v: %s, want exit code %d", c.cmd, r, c.code)
		}
		for _, dir := range []string{"locks/", "intents/"} {
			if keys := e.keys(dir); len(keys) > 0 {
				t.Errorf("%v left %v", c.cmd, keys)
			}
		}
	}
	var env string
	p := e.startRun([]string{"--purpose", "firmware"}, "n1", "sh", "-c", `echo "$CONDUCTOR_LOCK_KEY $CONDUCTOR_LOCK_REV $CONDUCTOR_LOCK_TOKEN"; read x`)
	env = p.line(p.out, "", 10*time.Second)
	if !strings.HasPrefix(env, root+"locks/") || len(strings.Fields(env)) != 3 {
		t.Errorf("the command got %q for key, revision and token", env)
	}
	for wait, code := range map[string]int{"0": 4, "5s": 5} {
		r := command(t, append(e.lockCommand("run", "--wait", wait), "n1", "--", "true")...)
		if r.code != code || !strings.Contains(r.err, "firmware") {
			t.Errorf("lock run --wait %s on a locked node: %s, want exit code %d and the purpose", wait, r, code)
		}
	}
	if r := command(t, append(e.lockCommand("run"), "n2", "--", "true")...); r.code != 3 {
		t.Errorf("lock run on a node that does not exist: %s", r)
	}
	_ = p.stdin.Close()
	p.exit(5 * time.Second)
	e.audit()
}

// A conductor that is asked to stop ends its work in order; one that is killed
// finds its locks free as soon as it is started again, however long their TTL.
func TestConductorEndsAtWork(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	flags := []string{"--etcd-endpoints", e.endpoints(), "--data-dir", t.TempDir(), "--fake-delay", "power=2", "--takeover=false"}
	id := e.create("n1")
	working := func(c *conductor) {
		t.Helper()
		c.node("power", "on", "n1")
		eventually(t, 5*time.Second, "c works on n1", func() error {
			if s := c.states(id); s.Reservation == nil || *s.Reservation != "c" {
				return fmt.Errorf("%s", s)
			}
			return nil
		})
	}

	c := serve(t, "c", flags...)
	working(c)
	at := time.Now()
	if code := c.stop(); code != 0 {
		t.Errorf("a stop at work ended with exit code %d", code)
	}
	t.Logf("stopped in order after %s", time.Since(at).Round(time.Millisecond))
	for _, dir := range []string{"locks/", "intents/", "conductors/"} {
		if keys := e.keys(dir); len(keys) > 0 {
			t.Errorf("a stop in order left %v", keys)
		}
	}
	c = serve(t, "c", flags...)
	if s := c.states(id); s.PowerTarget != nil || s.Power == nil || *s.Power != "power on" {
		t.Errorf("after a stop in order the node is %s", s)
	}

	working(c)
	killed := c.kill()
	c = serve(t, "c", flags...)
	back := time.Since(killed)
	e.none("locks/", time.Second)
	r := command(t, append(e.lockCommand("run"), "n1", "--", "true")...)
	took := time.Since(killed)
	t.Logf("kill -9 at work and started again: ready after %s, the node was free after %s (TTL 15s)", back.Round(time.Millisecond), took.Round(time.Millisecond))
	if r.code != 0 || !strings.Contains(r.err, "cut off") {
		t.Errorf("the next lock run: %s", r)
	}
	c.stop()
	e.audit()
}

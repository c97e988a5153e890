package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// takes says whether a host has begun a section after some time.
func (f *fleet) takes(host string, after time.Time) bool {
	_, ok := f.chronicle.first(after, func(d dated) bool {
		return strings.HasPrefix(d.key, "intents/") && strings.Contains(d.put, `"holder":"`+host+`"`) && !strings.Contains(d.put, `"abandoned"`)
	})
	return ok
}

// A conductor that is told to drain ends what it is at and takes nothing new, until
// it is told that it may. SIGUSR2 does that before an end. Nobody's work fails.
func TestFleetDrain(t *testing.T) {
	need(t)
	t.Parallel()
	f := startFleet(t, 1, 45, fleetTTL*2)
	f.load()
	f.goesOn(45, 60*time.Second)
	others := f.conductor("c2")
	f.atWork("c1")
	at := time.Now()
	busy := len(f.chronicle.sections("c1"))
	must(t, "member", "--server", others.url, "drain", "c1")
	told := time.Now()
	idle := f.idle("c1", 40*time.Second)
	<-time.After(3 * time.Second) // what had been accepted and stood behind others, too
	f.idle("c1", 40*time.Second)
	empty := time.Now()
	f.goesOn(60, 60*time.Second)
	if f.takes("c1", empty) {
		t.Error("c1 takes new work although it drains")
	}
	if status, text := f.conductor("c1").call(http.MethodGet, "/readyz", ""); status != 503 || !strings.Contains(text, "[-]work failed") {
		t.Errorf("/readyz of c1: %d %s", status, text)
	}
	if out := must(t, "member", "--server", others.url, "list"); !strings.Contains(out, "draining") {
		t.Errorf("member list:\n%s", out)
	}
	must(t, "member", "--server", others.url, "undrain", "c1")
	undrained := time.Now()
	again := eventually(t, 30*time.Second, "c1 takes work again", func() error {
		if !f.takes("c1", undrained) {
			return errNotYet
		}
		return nil
	})
	measured := fmt.Sprintf("at %d nodes: order %s, work over %s later, new work %s after `undrain`",
		busy, told.Sub(at).Round(time.Millisecond), idle.Round(time.Millisecond), again.Round(time.Millisecond))
	f.goesOn(30, 60*time.Second)
	f.atWork("c1")
	sigusr2 := f.drainOut("c1")
	f.goesOn(30, 60*time.Second)
	f.settled()
	f.unfailed()
	faultRow(t, "`member drain`, 45 nodes, `undrain`", "what runs ends, nothing new begins, `/readyz` and `member list` say so, then work comes back; nothing fails", measured+"; "+f.ends())
	faultRow(t, "SIGUSR2, 45 nodes", "exit code 0 after the work, no section left open, nothing fails", sigusr2)
}

// drainOut ends a conductor with SIGUSR2 in the middle of its work, and says how long that took.
func (f *fleet) drainOut(host string) (measured string) {
	f.t.Helper()
	c := f.conductor(host)
	busy, at := len(f.chronicle.sections(host)), time.Now()
	c.signal(syscall.SIGUSR2)
	if code := c.exit(60 * time.Second); code != 0 {
		f.t.Errorf("%s ended with exit code %d", host, code)
	}
	took := time.Since(at)
	f.gone(host, at, 10*time.Second)
	if left := f.chronicle.sections(host); len(left) > 0 {
		f.t.Errorf("%s left %d sections open: %v", host, len(left), left)
	}
	return fmt.Sprintf("at %d nodes: ended after %s", busy, took.Round(time.Millisecond))
}

// unread wants every request whose connection was lost never to have reached a conductor: it stood
// before the door when that was closed, which the kernel does to those who just connect.
func (f *fleet) unread() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, c := range f.cutOff {
		if strings.Contains(c.err.text(), id) {
			f.t.Errorf("%s read the request %s and did not answer it", c.host, id)
		}
	}
}

// A rolling restart of all conductors under load fails no task.
func TestFleetRollingRestart(t *testing.T) {
	need(t)
	t.Parallel()
	f := startFleet(t, 1, 40, fleetTTL*2)
	f.load()
	f.goesOn(40, 60*time.Second)
	var took []string
	for _, host := range []string{"c1", "c2", "c3"} {
		f.atWork(host)
		took = append(took, f.drainOut(host))
		f.serve(host)
		f.goesOn(20, 60*time.Second)
	}
	f.settled()
	f.unfailed()
	if n := f.done("refused: 500"); n > 0 {
		t.Errorf("%d requests failed in a conductor that drained", n)
	}
	f.unread()
	faultRow(t, "rolling restart of all three by SIGUSR2, 40 nodes", "no task fails, no request is cut off", strings.Join(took, ", ")+"; "+f.ends())
}

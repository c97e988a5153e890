package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestIronicClient types what users of "baremetal" type, on a conductor instead
// of Ironic. The client is Debian's and does not know.
func TestIronicClient(t *testing.T) {
	need(t, "baremetal")
	t.Parallel()
	etcd := startEtcd(t, 1)
	c := serve(t, "c1", "--etcd-endpoints", etcd.endpoints(), "--lock-delay", "1s")
	// They wait most of their time, as the client looks every ten seconds: all
	// at once, however many tests may be parallel.
	var wg sync.WaitGroup
	for name, s := range ironicScripts {
		wg.Go(func() {
			t.Run(name, func(t *testing.T) {
				c.within(t).prepare(name, s.from)
				say := loop
				if s.users {
					say = processes
				}
				say(t, c.url).script(s.lines)
			})
		})
	}
	wg.Go(func() {
		t.Run("locked for five seconds", func(t *testing.T) { lockedForAWhile(t, *etcd, c.within(t)) })
	})
	wg.Go(func() { t.Run("locked for ever", func(t *testing.T) { lockedForEver(t, *etcd, c.within(t)) }) })
	wg.Wait()
	etcd.audit()
}

// within is the same conductor for a part of the test.
func (c *conductor) within(t *testing.T) *conductor {
	p := *c.process
	p.t = t
	return &conductor{&p, c.host, c.url}
}

// verbs bring a new node into a state, one after the other.
var verbs = []struct{ target, state string }{{"", "enroll"}, {"manage", "manageable"}, {"provide", "available"}, {"active", "active"}}

// prepare makes a node and brings it into a state; "" makes none.
func (c *conductor) prepare(name, state string) (id string) {
	t := c.t
	t.Helper()
	if state == "" {
		return ""
	}
	status, text := c.call(http.MethodPost, "/v1/nodes", fmt.Sprintf(`{"name":%q,"driver":"fake-hardware","resource_class":%q}`, name, name))
	var n struct {
		UUID  string
		State string `json:"provision_state"`
	}
	if err := json.Unmarshal([]byte(text), &n); err != nil || status != http.StatusCreated {
		t.Fatalf("create %s: %d %s", name, status, text)
	}
	for _, v := range verbs {
		if v.target != "" {
			if status, text := c.call(http.MethodPut, "/v1/nodes/"+name+"/states/provision", fmt.Sprintf(`{"target":%q}`, v.target)); status != http.StatusAccepted {
				t.Fatalf("%s %s: %d %s", v.target, name, status, text)
			}
		}
		eventually(t, 10*time.Second, name+" is "+v.state, func() error {
			_, text := c.call(http.MethodGet, "/v1/nodes/"+name, "")
			if err := json.Unmarshal([]byte(text), &n); err != nil || n.State != v.state {
				return fmt.Errorf("%v %s", err, text)
			}
			return nil
		})
		if v.state == state {
			break
		}
	}
	return n.UUID
}

// lockedForAWhile shows that the client outlasts a lock by trying again.
func lockedForAWhile(t *testing.T, etcd etcd, c *conductor) {
	etcd.t = t
	id := c.prepare("busy", "enroll")
	holder := etcd.startRun([]string{"--holder", "workshop", "--purpose", "new memory"}, id, "sh", "-c", "echo locked; read line; echo free")
	holder.line(holder.out, "locked", 10*time.Second)
	b := processes(t, c.url)
	b.script([]typed{{line: "node show busy --fields reservation", want: `{"reservation":"workshop"}`}})
	at := time.Now()
	time.AfterFunc(5*time.Second, func() { _, _ = fmt.Fprintln(holder.stdin, "done") })
	b.script([]typed{{line: "node maintenance set busy --reason memory"}})
	took := time.Since(at)
	if !strings.Contains(holder.out.text(), "free") || took < 5*time.Second {
		t.Errorf("after %s the node was changed under the lock of another", took)
	}
	t.Logf("maintenance set took %s", took.Round(time.Millisecond))
	b.script([]typed{
		{line: "node show busy --fields reservation maintenance maintenance_reason", want: `{"reservation":null,"maintenance":true,"maintenance_reason":"memory"}`},
	})
}

// lockedForEver shows that the client gives up in the end, and says why.
func lockedForEver(t *testing.T, etcd etcd, c *conductor) {
	etcd.t = t
	id := c.prepare("stuck", "enroll")
	holder := etcd.startRun([]string{"--holder", "workshop", "--purpose", "new memory"}, id, "sh", "-c", "echo locked; read line")
	holder.line(holder.out, "locked", 10*time.Second)
	at := time.Now()
	b := processes(t, c.url)
	r := b.say("node", "power", "on", "stuck")
	took := time.Since(at)
	if r.code != 1 || !strings.Contains(r.err, "Attempt 6 of 6") || !strings.Contains(r.err, "is locked by host workshop") || !strings.Contains(r.err, "new memory") {
		t.Errorf("power on: %s", r)
	}
	if took < 10*time.Second { // five pauses of two seconds
		t.Errorf("the client gave up after %s", took)
	}
	t.Logf("power on gave up after %s", took.Round(time.Millisecond))
	b.script([]typed{
		{line: "node show stuck --fields power_state target_power_state reservation", want: `{"power_state":null,"target_power_state":null,"reservation":"workshop"}`},
	})
	_, _ = fmt.Fprintln(holder.stdin, "done")
	if code := holder.exit(10 * time.Second); code != 0 {
		t.Errorf("lock run ended with %d", code)
	}
}

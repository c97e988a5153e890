package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// leader is the member that leads.
func (e *etcd) leader() *member {
	e.t.Helper()
	return e.led(slices.DeleteFunc(slices.Clone(e.members), func(m *member) bool { return !m.running() }), 30*time.Second)
}

// Three conductors on three etcds: each sees what the others hold, and the death
// of the leader of etcd costs nothing.
func TestThreeConductors(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 3)
	var cs []*conductor
	for i := range 3 {
		cs = append(cs, serve(t, fmt.Sprint("c", i+1), "--etcd-endpoints", e.endpoints(), "--fake-delay", "power=4"))
	}
	const nodes = 9
	var ids []string
	for i := range nodes {
		ids = append(ids, e.create(fmt.Sprint("n", i)))
	}

	// One at work, seen through the others.
	if status, text := cs[0].call(http.MethodPut, "/v1/nodes/"+ids[0]+"/states/power", `{"target":"power on"}`); status != 202 {
		t.Fatalf("power on: %d %s", status, text)
	}
	eventually(t, 8*time.Second, "all see one lock", func() error { // of whoever the node prefers
		holder := ""
		for _, c := range cs {
			s := c.states(ids[0])
			if s.Reservation == nil || holder != "" && *s.Reservation != holder {
				return fmt.Errorf("%s: %s, and not held by %q", c.host, s, holder)
			}
			holder = *s.Reservation
			var q struct {
				Holders []struct{ Holder, Mode, Purpose string }
			}
			status, text := c.call(http.MethodGet, "/v1/locks/"+ids[0], "")
			if status != 200 || json.Unmarshal([]byte(text), &q) != nil || len(q.Holders) != 1 || q.Holders[0].Holder != holder || q.Holders[0].Mode != "exclusive" {
				return fmt.Errorf("%s: %d %s", c.host, status, text)
			}
		}
		return nil
	})
	if status, text := cs[1].call(http.MethodPut, "/v1/nodes/"+ids[0]+"/states/power?wait=0", `{"target":"power off"}`); status != 409 {
		t.Errorf("c2 on a node that is worked on: %d %s", status, text)
	}
	cs[0].node("power", "on", "n0", "--wait=30s", "--lock-wait", "20s")

	// All at work on all nodes, one of each kind of lock held by others, and then the leader dies.
	h := startHolder(t, e.endpoints(), "h")
	held := h.lock("by-h", "exclusive")
	h.lock("by-h-shared", "shared")
	var wg sync.WaitGroup
	results := make(chan string, 3*nodes)
	for i := range nodes {
		for j, c := range cs {
			wg.Go(func() {
				target := [2]string{"power on", "power off"}[(i+j)%2]
				path := fmt.Sprintf("/v1/nodes/%s/states/power?wait=60s", ids[i])
				status, text := c.call(http.MethodPut, path, fmt.Sprintf(`{"target":%q}`, target))
				results <- fmt.Sprint(status)
				if status != 202 {
					t.Errorf("%s: %s of n%d: %d %s", c.host, target, i, status, text)
				}
			})
		}
	}
	leader := e.leader()
	at := leader.kill()
	again := eventually(t, 15*time.Second, "etcd has a leader again", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := e.client().Get(ctx, root+"meta/schema")
		return err
	})
	wg.Wait()
	close(results)
	answers := map[string]int{}
	for r := range results {
		answers[r]++
	}
	var settled time.Duration
	for i, id := range ids {
		eventually(t, 30*time.Second, fmt.Sprintf("n%d is at rest", i), func() error {
			s := cs[0].states(id)
			if s.PowerTarget != nil || s.Reservation != nil || s.Power == nil || s.LastError != nil {
				return fmt.Errorf("%s", s)
			}
			return nil
		})
		settled = time.Since(at)
	}
	h.tell("write by-h still")
	w := h.hear("wrote", 10*time.Second)
	t.Logf("kill -9 of etcd's leader among 27 power requests: etcd answered again after %s, answers %v, all nodes were at rest after %s; a held lock wrote: %q",
		again.Round(time.Millisecond), answers, settled.Round(time.Millisecond), w.Err)
	if w.Err != "" {
		t.Errorf("the held lock: %s", w.Err)
	}
	for _, c := range cs {
		if n := c.metric("conductor_lock_lost_total"); n != 0 {
			t.Errorf("%s lost %v locks", c.host, n)
		}
	}
	if keys := e.keys("locks/by-h/"); len(keys) != 1 || keys[0] != held.Key {
		t.Errorf("entries: %v, want %s", keys, held.Key)
	}
	e.audit()
	leader.start(t)
	leader.healthy(t)

	// The death of a conductor, too.
	cs[2].kill()
	cs[0].node("power", "reboot", "n1", "--wait=20s", "--lock-wait", "20s")
	h.close()
	for _, c := range cs[:2] {
		if c.stop() != 0 {
			t.Errorf("%s did not stop in order", c.host)
		}
	}
	e.none("locks/", 20*time.Second)
	e.audit()
}

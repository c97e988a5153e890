package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// 64 requests of four processes get the lock in the order in which they came, as
// etcd's own history tells it.
func TestFirstComeFirstServed(t *testing.T) {
	need(t)
	t.Parallel()
	const processes, each = 4, 16
	e := startEtcd(t, 1)
	first := startHolder(t, e.endpoints(), "first")
	first.lock("n", "exclusive")
	var hs []*holder
	for i := range processes {
		hs = append(hs, startHolder(t, e.endpoints(), fmt.Sprint("h", i)))
	}
	for range each {
		for _, h := range hs {
			h.tell("contend n 1")
		}
	}
	e.queued("n", 1+processes*each)
	at := time.Now()
	first.tell("release n")
	tokens := map[int64]string{}
	for _, h := range hs {
		for range each {
			h.hear("contended", 30*time.Second)
			g := h.hear("granted", time.Second)
			if other, ok := tokens[g.Token]; ok {
				t.Errorf("token %d was given to %s and %s", g.Token, other, g.Ticket)
			}
			tokens[g.Token] = g.Ticket
		}
	}
	took := time.Since(at)

	// Each releases when it is granted, so the order of deletions is that of grants.
	var came, left []string
	switches, before := 0, ""
	for _, ev := range e.history("locks/n/") {
		key := string(ev.Kv.Key)
		if ev.Type == clientv3.EventTypeDelete {
			left = append(left, key)
			continue
		}
		came = append(came, key)
		session := key[:strings.LastIndex(key, ".")]
		if session != before {
			switches++
		}
		before = session
	}
	if len(came) != 1+processes*each || strings.Join(came, "\n") != strings.Join(left, "\n") {
		t.Errorf("they came as\n%s\nand were served as\n%s", strings.Join(came, "\n"), strings.Join(left, "\n"))
	}
	t.Logf("%d requests of %d processes, mixed with %d changes of process in the queue, were served in order in %s: %s each",
		processes*each, processes, switches, took.Round(time.Millisecond), (took / (processes * each)).Round(time.Microsecond))
	rescues := 0.0
	for _, h := range hs {
		rescues += h.metrics()["conductor_lock_safety_timer_rescues_total"]
		h.close()
	}
	if rescues > 0 {
		t.Errorf("%v waiters found their grant by the safety timer", rescues)
	}
	first.close()
	e.audit()
}

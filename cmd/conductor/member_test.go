package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A conductor that drains does no new work: the other one does what either is
// asked for, until the order is taken back.
func TestMemberDrain(t *testing.T) {
	c1 := startConductor(t)
	c2 := startConductor(t, "--host", "c2", "--etcd-endpoints", c1.endpoint)
	at1 := map[string]string{"CONDUCTOR_SERVER": c1.url}
	must := func(env map[string]string, args ...string) string {
		t.Helper()
		code, out, errs := runAs(t, env, args...)
		if code != exitOK {
			t.Fatalf("%v: code %d: %s", args, code, errs)
		}
		return out
	}
	var fleet []string
	for i := range 8 { // some prefer c1 and some c2
		name := fmt.Sprintf("m%d", i)
		id := fmt.Sprintf("1be26c0b-03f2-4d2e-ae87-c02d7f33c12%d", i)
		must(at1, "node", "create", "--driver", "fake-hardware", "--name", name, "--uuid", id)
		fleet = append(fleet, name)
	}
	workers := func() map[string]int {
		t.Helper()
		count := map[string]int{}
		for _, url := range []string{c1.url, c2.url} {
			count[url] = worked(t, url)
		}
		return count
	}
	power := func(to string) (c1did, c2did int) {
		t.Helper()
		before := workers()
		must(at1, append([]string{"node", "power", to, "--wait"}, fleet...)...)
		for end := time.Now().Add(10 * time.Second); c1did+c2did < len(fleet) && time.Now().Before(end); { // a moment after the power state is seen
			after := workers()
			c1did, c2did = after[c1.url]-before[c1.url], after[c2.url]-before[c2.url]
		}
		return c1did, c2did
	}
	if a, b := power("on"); a == 0 || b == 0 || a+b != len(fleet) {
		t.Errorf("c1 worked on %d and c2 on %d of %d nodes", a, b, len(fleet))
	}
	must(at1, "member", "drain", "c2", "--reason", "new memory")
	awaitAnswer(t, c2.url+"/readyz", http.StatusServiceUnavailable, "draining")
	list := ""
	for end := time.Now().Add(10 * time.Second); !strings.Contains(list, "draining"); {
		if list = must(at1, "member", "list"); time.Now().After(end) {
			t.Fatalf("not draining: %s", list)
		}
	}
	if !strings.Contains(list, "new memory") {
		t.Errorf("member list: %s", list)
	}
	if a, b := power("off"); a != len(fleet) || b != 0 {
		t.Errorf("while c2 drains, c1 worked on %d and c2 on %d nodes", a, b)
	}
	must(at1, "member", "undrain", "c2")
	awaitAnswer(t, c2.url+"/readyz", http.StatusOK, "ok")
	if code, _, errs := runAs(t, at1, "member", "drain", "c9"); code != exitNotFound {
		t.Errorf("draining a stranger: code %d: %s", code, errs)
	}
}

// worked is how many background tasks a conductor has done.
func worked(t *testing.T, url string) int {
	t.Helper()
	answer, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(page)) {
		if rest, ok := strings.CutPrefix(line, "conductor_background_tasks_total{"); ok {
			_, value, _ := strings.Cut(strings.TrimSpace(rest), " ")
			count, err := strconv.Atoi(value)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			n += count
		}
	}
	return n
}

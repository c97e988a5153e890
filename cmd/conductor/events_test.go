package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/conductor-metal/conductor/pkg/task"
)

// fakeEvent is an event as a conductor sends it.
func fakeEvent(id, kind string) string {
	return fmt.Sprintf(`{"id":%q,"type":%q,"at":"2026-11-22T10:00:00Z","node":"n","name":"r1","to_power":"power on"}`, id, kind)
}

func TestEventsList(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.Header.Get("Accept") != "application/json" || q.Get("follow") != "false" || q.Get("node") != "r1" || q.Get("type") != "node" {
			http.NotFound(w, r)
			return
		}
		since, next := q.Get("since"), ""
		if since == "0" {
			next = fmt.Sprintf(`, "next": "http://%s/v1/events?since=7&follow=false&node=r1&type=node"`, r.Host)
		}
		fmt.Fprintf(w, `{"events": [%s], "revision": 7%s}`, fakeEvent("e"+since, task.PowerSet+task.Start), next)
	}))
	defer server.Close()
	env := map[string]string{"CONDUCTOR_SERVER": server.URL}
	code, out, errs := runAs(t, env, "events", "--node", "r1", "--type", "node")
	want := `TIME                  NODE  TYPE                  TEXT
2026-11-22T10:00:00Z  r1    node.power_set.start  to power on is asked for
2026-11-22T10:00:00Z  r1    node.power_set.start  to power on is asked for
`
	if code != exitOK || out != want {
		t.Errorf("got code %d, %s\n%s\nwant\n%s", code, errs, out, want)
	}
	if code, out, _ := runAs(t, env, "events", "--node", "r1", "--type", "node", "-o", "name"); code != exitOK || out != "e0\ne7\n" {
		t.Errorf("names: got code %d and %q", code, out)
	}
	if code, out, _ := runAs(t, env, "events", "--node", "r1", "--type", "node", "--since", "7", "-o", "name"); code != exitOK || out != "e7\n" {
		t.Errorf("--since: got code %d and %q", code, out)
	}
	if code, _, _ := runAs(t, env, "events", "--node", "r2"); code != exitNotFound {
		t.Errorf("another node: got code %d", code)
	}
	if code, _, _ := runAs(t, env, "events", "--since", "-1"); code != exitUsage {
		t.Errorf("a bad revision: got code %d", code)
	}
}

// followed is "events -f" that runs.
type followed struct {
	t           *testing.T
	out, stderr syncBuffer
	cancel      context.CancelFunc
	done        chan int
}

func follow(t *testing.T, server string, args ...string) *followed {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &followed{t: t, cancel: cancel, done: make(chan int, 1)}
	t.Cleanup(cancel)
	p := program{in: strings.NewReader(""), out: &f.out, err: &f.stderr, env: func(name string) string {
		return map[string]string{"CONDUCTOR_SERVER": server}[name]
	}}
	go func() { f.done <- p.run(ctx, append([]string{"events", "-f"}, args...)) }()
	return f
}

// until waits until it has said so many lines.
func (f *followed) until(lines int) {
	f.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(time.Minute); strings.Count(f.out.String(), "\n") < lines; {
		select {
		case code := <-f.done:
			f.t.Fatalf("ended with %d: %s%s", code, &f.out, &f.stderr)
		case <-limit:
			f.t.Fatalf("after a minute: %s%s", &f.out, &f.stderr)
		case <-tick.C:
		}
	}
}

// interrupt ends it as Ctrl-C does.
func (f *followed) interrupt() {
	f.t.Helper()
	f.cancel()
	if code := <-f.done; code != exitInterrupted {
		f.t.Errorf("interrupted: got code %d, want 130: %s", code, &f.stderr)
	}
}

// Whatever ends a stream, and wherever, the next one goes on: no event is shown
// twice, none before its revision is whole, and none is missing.
func TestEventsFollowGoesOn(t *testing.T) {
	power := task.PowerSet + task.Start
	block := func(event string) string { return "event: " + power + "\ndata: " + event + "\n" }
	streams := []struct {
		last, said string
		status     int
	}{
		{last: "", said: "retry: 1\nid: 5\n\n" + block(fakeEvent("a", power)) + "\n" + block(fakeEvent("b", power)) + "id: 7\n\n" + block(fakeEvent("c", power)) + "\n"},
		{last: "7", status: 503},
		{last: "7", said: ": alive\nid: 8\n\n: alive\n\n" + block(fakeEvent("c", power)) + "\n" + "event: error\ndata: {\"kind\":\"slow\",\"error\":\"too slow\"}\n\n"},
		{last: "8", said: block(fakeEvent("c", power)) + "\n" + block(fakeEvent("d", power)) + "id: 9\n\n" + block(fakeEvent("e", power)) + "id: 1"}, // torn
		{last: "9", said: block(fakeEvent("e", power)) + "id: 10\n\n"},
	}
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(calls.Add(1)) - 1
		if n >= len(streams) {
			<-r.Context().Done()
			return
		}
		if got := r.Header.Get("Last-Event-ID"); got != streams[n].last {
			t.Errorf("stream %d goes on after %q, want %q", n, got, streams[n].last)
		}
		if streams[n].status != 0 {
			w.WriteHeader(streams[n].status)
			return
		}
		_, _ = w.Write([]byte(streams[n].said))
	}))
	defer server.Close()
	f := follow(t, server.URL, "-o", "json")
	f.until(5)
	f.interrupt()
	if !strings.Contains(f.stderr.String(), "trying again") {
		t.Errorf("said %s", &f.stderr)
	}
	var got []string
	for line := range strings.Lines(f.out.String()) {
		var e struct {
			Revision int64
			ID       string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		got = append(got, fmt.Sprintf("%d%s", e.Revision, e.ID))
	}
	if want := []string{"7a", "7b", "9c", "9d", "10e"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What another try does not cure ends it.
func TestEventsFollowFails(t *testing.T) {
	for _, tt := range []struct {
		status, code int
		said         string
	}{
		{status: 404, code: exitNotFound},
		{status: 410, code: exitFailure},
		{status: 503, code: exitUnreachable}, // the first try must succeed
		{code: exitFailure, said: "id: 1\n\nevent: error\ndata: {\"kind\":\"internal\",\"error\":\"oh\"}\n\n"},
		{code: exitFailure, said: "id: many\n\n"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if tt.status != 0 {
				w.WriteHeader(tt.status)
			}
			_, _ = w.Write([]byte(tt.said))
		}))
		if f := follow(t, server.URL); <-f.done != tt.code {
			t.Errorf("%+v: got another code, and %s", tt, &f.stderr)
		}
		server.Close()
	}
	if f := follow(t, "http://127.0.0.1:1"); <-f.done != exitUnreachable {
		t.Errorf("nobody: got another code, and %s", &f.stderr)
	}
}

// Two conductors of one etcd behind one address: when the first goes, the other
// goes on with the stream.
func TestEventsFollowOverConductors(t *testing.T) {
	l := newLab(t)
	c1, c2 := startConductor(t, "--etcd-endpoints", l.endpoint), startConductor(t, "--host", "c2", "--etcd-endpoints", l.endpoint)
	var to atomic.Pointer[url.URL]
	point := func(c *conductor) {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		to.Store(u)
	}
	point(c1)
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to.Load()) },
		FlushInterval: -1,
	})
	defer front.Close()
	f := follow(t, front.URL, "--node", "n1")
	// It begins with what comes, so it is asked until the first has come.
	for f.out.String() == "" {
		c1.run(t, exitOK, "node", "maintenance", "set", "n1", "--reason", "one")
	}
	before := strings.Count(f.out.String(), "\n")
	point(c2)
	if code, errs := c1.stop(); code != exitOK {
		t.Errorf("stop: %d, %s", code, errs)
	}
	c2.run(t, exitOK, "node", "maintenance", "unset", "n1")
	c2.run(t, exitOK, "node", "maintenance", "set", "n1", "--reason", "two")
	for n := before + 1; !strings.Contains(f.out.String(), "maintenance is set: two"); n++ {
		f.until(n)
	}
	f.interrupt()
	var got []string
	for line := range strings.Lines(f.out.String()) {
		got = append(got, strings.TrimSpace(line[strings.LastIndex(line, "  "):]))
	}
	got = slices.Compact(got)
	if want := []string{"maintenance is set: one", "maintenance is over", "maintenance is set: two"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

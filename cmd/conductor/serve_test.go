package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// conductor is a "serve" within the test.
type conductor struct {
	url, endpoint, dir string
	stop               func() (code int, stderr string)
}

// syncBuffer is written and read by several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// startConductor serves on free ports until the test ends or stop is called.
func startConductor(t *testing.T, args ...string) *conductor {
	t.Helper()
	c := &conductor{dir: filepath.Join(t.TempDir(), "data")}
	ctx, cancel := context.WithCancel(t.Context())
	stderr := &syncBuffer{}
	p := program{in: strings.NewReader(""), out: io.Discard, err: stderr, env: func(string) string { return "" }}
	line := append([]string{
		"serve", "--data-dir", c.dir, "--listen", "127.0.0.1:0", "--etcd-listen", "http://127.0.0.1:0",
		"--host", "c1", "--lease-ttl", "5s",
	}, args...)
	done := make(chan int, 1)
	go func() { done <- p.run(ctx, line) }()
	c.stop = sync.OnceValues(func() (int, string) {
		cancel()
		return <-done, stderr.String()
	})
	t.Cleanup(func() { c.stop() })
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for c.url == "" {
		select {
		case code := <-done:
			done <- code
			t.Fatalf("serve ended with %d: %s", code, stderr)
		case <-tick.C:
			c.url, c.endpoint = servedAt(stderr.String())
		}
	}
	return c
}

// servedAt reads from the log where the API and etcd are.
func servedAt(log string) (url, endpoint string) {
	for line := range strings.Lines(log) {
		var r struct {
			Msg, URL string
			Etcd     []string
		}
		if json.Unmarshal([]byte(line), &r) == nil && r.Msg == "serving" {
			return r.URL, r.Etcd[0]
		}
	}
	return "", ""
}

// run runs a verb against the conductor and its etcd.
func (c *conductor) run(t *testing.T, want int, args ...string) (out, errs string) {
	t.Helper()
	code, out, errs := runAs(t, map[string]string{"CONDUCTOR_SERVER": c.url, "CONDUCTOR_ETCD_ENDPOINTS": c.endpoint}, args...)
	if code != want {
		t.Fatalf("conductor %s: got code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out, errs)
	}
	return out, errs
}

func TestServe(t *testing.T) {
	c := startConductor(t)
	if out, _ := c.run(t, exitOK, "health"); !strings.Contains(out, "ok") {
		t.Errorf("health: got %q", out)
	}
	out, _ := c.run(t, exitOK, "node", "create", "../../examples/inventory.yaml", "-o", "name")
	if n := strings.Count(out, "\n"); n != 24 {
		t.Errorf("node create: got %d names, want 24", n)
	}
	if _, errs := c.run(t, exitConflict, "node", "create", "../../examples/inventory.yaml"); !strings.Contains(errs, "0 of 24 nodes created") || !strings.Contains(errs, "nodes[0] (r1-u01): not created, nor the 2 records below it") {
		t.Errorf("node create again: got %q", errs)
	}
	if out, errs := c.run(t, exitOK, "node", "create", "--skip-existing", "../../examples/inventory.yaml"); out != "" || strings.Count(errs, "left as it is") != 24 || !strings.Contains(errs, "nodes[0] (r1-u01): left as it is: ") {
		t.Errorf("node create, but for those that are there: got %q and %q", out, errs)
	}
	if _, errs := c.run(t, exitOK, "node", "create", "--skip-existing", "--name", "r1-u01", "--driver", "fake-hardware"); !strings.Contains(errs, "left as it is") {
		t.Errorf("node create of one that is there: got %q", errs)
	}
	out, _ = c.run(t, exitOK, "node", "list", "-o", "name")
	if n := strings.Count(out, "\n"); n != 24 || !strings.Contains(out, "r2-u01\n") {
		t.Errorf("node list: got %q", out)
	}
	c.run(t, exitOK, "node", "power", "on", "r1-u01", "r1-u03", "--wait=20s")
	var n nodes.Node
	out, _ = c.run(t, exitOK, "node", "show", "r1-u01", "-o", "json")
	if err := json.Unmarshal([]byte(out), &n); err != nil || n.PowerState != "power on" {
		t.Errorf("node show: got %q (%v), want power on", n.PowerState, err)
	}
	c.run(t, exitOK, "node", "maintenance", "set", "r1-u01", "--reason", "a fan is loud")
	if out, _ := c.run(t, exitOK, "node", "show", "r1-u01"); !strings.Contains(out, "a fan is loud") {
		t.Errorf("node show: got %q, want the reason of the maintenance", out)
	}
	c.run(t, exitOK, "node", "maintenance", "unset", "r1-u01")
	if out, _ := c.run(t, exitOK, "node", "validate", "r1-u01"); !strings.Contains(out, "power") {
		t.Errorf("node validate: got %q", out)
	}
	if out, _ := c.run(t, exitOK, "lock", "show", "r1-u01"); !strings.Contains(out, "free") {
		t.Errorf("lock show: got %q, want a free lock", out)
	}
	c.run(t, exitNotFound, "node", "power", "on", "nosuch")
	c.run(t, exitOK, "node", "delete", "r1-u03")
	c.run(t, exitNotFound, "node", "show", "r1-u03")
	if out, _ := c.run(t, exitOK, "audit"); !strings.Contains(out, "no violation") {
		t.Errorf("audit: got %q", out)
	}
	checkMetrics(t, c)
	if code, errs := c.stop(); code != exitOK || !strings.Contains(errs, `"stopped"`) || strings.Contains(errs, `"ERROR"`) {
		t.Errorf("stop: got code %d and %s", code, errs)
	}
	c.run(t, exitUnreachable, "health")
	c.run(t, exitUnreachable, "lock", "list", "--etcd-timeout", "200ms")
}

// A record that cannot be read does not go missing in silence.
func TestNodeListTellsOfCorruptRecords(t *testing.T) {
	l := newLab(t)
	if _, err := l.client.Put(t.Context(), lease.DefaultRoot+"nodes/00000000-0000-4000-8000-000000000001", "garbage"); err != nil {
		t.Fatal(err)
	}
	c := startConductor(t, "--etcd-endpoints", l.endpoint)
	out, errs := c.run(t, exitOK, "node", "list", "-o", "name")
	if out != "n1\n" || strings.Count(errs, "left out: ") != 1 || !strings.Contains(errs, "00000000-0000-4000-8000-000000000001") {
		t.Errorf("got %q and %q, want n1, and a word on the other", out, errs)
	}
}

func checkMetrics(t *testing.T, c *conductor) {
	t.Helper()
	answer, err := http.Get(c.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"conductor_build_info{", "go_goroutines", "process_resident_memory_bytes",
		`conductor_lock_acquisitions_total{mode="exclusive",result="acquired"}`, "conductor_lease_ttl_seconds 5",
	} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "conductor_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestServeRefusals(t *testing.T) {
	c := startConductor(t)
	taken := strings.TrimPrefix(c.url, "http://")
	for _, r := range []struct {
		name, want string
		code       int
		args       []string
	}{
		{"second on the directory", "is in use by process", exitConflict, []string{"--data-dir", c.dir, "--listen", "127.0.0.1:0"}},
		{"port", taken + " is in use", exitConflict, []string{"--listen", taken}},
		{"etcd's port", "--etcd-endpoints", exitConflict, []string{"--listen", "127.0.0.1:0", "--etcd-listen", c.endpoint}},
		{"etcd is away", "does not answer", exitUnreachable, []string{"--listen", "127.0.0.1:0", "--etcd-endpoints", "http://127.0.0.1:1", "--etcd-timeout", "200ms"}},
		{"bad address", "--listen", exitUsage, []string{"--listen", "nonsense"}},
		{"short lease", "--lease-ttl is 1s", exitUsage, []string{"--lease-ttl", "1s", "--listen", taken}},
		{"wide margin", "--lease-margin is 8s", exitUsage, []string{"--lease-margin", "8s", "--listen", taken}},
		{"long host", "--host has 1025 bytes", exitUsage, []string{"--host", strings.Repeat("x", 1025), "--listen", taken}},
		{"bad delay", "not a number", exitUsage, []string{"--fake-delay", "power=soon"}},
	} {
		t.Run(r.name, func(t *testing.T) {
			code, _, errs := runAs(t, nil, append([]string{"serve", "--log-level", "error", "--data-dir", t.TempDir()}, r.args...)...)
			if code != r.code || !strings.Contains(errs, r.want) {
				t.Errorf("got code %d and %q, want %d and %q", code, errs, r.code, r.want)
			}
		})
	}
}

// TestSchema refuses records of a newer layout, and only those.
func TestSchema(t *testing.T) {
	for value, ok := range map[string]bool{`{"version":1}`: true, `{"version":2}`: false, `{}`: false, `x`: false} {
		if err := readSchema("/r/", []byte(value)); (err == nil) != ok {
			t.Errorf("%s: got %v, want ok %t", value, err, ok)
		}
	}
}

func TestIdentity(t *testing.T) {
	file := filepath.Join(t.TempDir(), "identity.json")
	if id, err := readIdentity(file); err != nil || id != (identity{}) {
		t.Errorf("without a file: got %+v, %v", id, err)
	}
	want := identity{"c1", "m1", "i1"}
	if err := writeIdentity(file, want); err != nil {
		t.Fatal(err)
	}
	if id, err := readIdentity(file); err != nil || id != want {
		t.Errorf("got %+v, %v, want %+v", id, err, want)
	}
	if err := os.WriteFile(file, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if id, err := readIdentity(file); err != nil || id != (identity{}) {
		t.Errorf("torn: got %+v, %v, want one that proves nothing", id, err)
	}
}

func TestPortInUseIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &service{o: &serveOptions{listen: l.Addr().String()}, log: slog.New(slog.DiscardHandler)}
	if err := s.startListener(t.Context()); !errors.Is(err, errTaken) || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("got %v, want errTaken and what to do", err)
	}
}

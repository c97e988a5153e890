package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shell runs lines as a user types them, at the root of the repository, with the
// program in the path. What the ports are, it knows from the environment.
type shell struct {
	t   *testing.T
	env []string
}

func (s shell) start(line string) *process {
	s.t.Helper()
	return start(s.t, line, s.env, "/bin/sh", "-c", line)
}

func (s shell) try(line string) result {
	s.t.Helper()
	return run(s.t, s.env, "/bin/sh", "-c", line)
}

// run runs a line that must succeed and returns its output.
func (s shell) run(line string) string {
	s.t.Helper()
	r := s.try(line)
	if r.code != 0 {
		s.t.Fatalf("%s: %s", line, r)
	}
	return r.out
}

// lifeOf types what the README says of provisioning a machine.
func lifeOf(t *testing.T, sh shell, said func(string) string) {
	t.Helper()
	for _, step := range []struct{ line, state string }{
		{"conductor node manage r1-u01 --wait", "manageable"},
		{"conductor node inspect r1-u01 --wait", "manageable"},
		{"conductor node provide r1-u01 --wait", "available"},
		{"conductor node set r1-u01 --instance-info image_source=http://images.example/web.qcow2", "available"},
		{`conductor node deploy r1-u01 --config-drive '{"user_data": "hello"}' --wait`, "active"},
		{"conductor node rescue r1-u01 --wait", "rescue"},
		{"conductor node unrescue r1-u01 --wait", "active"},
		{`conductor node service r1-u01 --steps '[{"interface": "deploy", "step": "hold"}]'`, "service hold"},
		{"conductor node show r1-u01", "service hold"},
		{"conductor node unhold r1-u01 --wait", "active"},
		{"conductor node undeploy r1-u01 --wait", "available"},
	} {
		line := said(step.line)
		if strings.Contains(line, " rescue ") { // nobody is here to be asked
			line = "echo secret | " + line + " --password-file -"
		}
		sh.run(line)
		eventually(t, 10*time.Second, step.line, func() error {
			var n struct {
				State string `json:"provision_state"`
			}
			text := sh.run("conductor node show -o json r1-u01")
			if err := json.Unmarshal([]byte(text), &n); err != nil {
				return err
			}
			if n.State != step.state {
				return fmt.Errorf("it is %q, want %q", n.State, step.state)
			}
			return nil
		})
		if step.state == "service hold" {
			if out := sh.run("conductor node show r1-u01"); !strings.Contains(out, "step 1 of 1: deploy.hold") {
				t.Errorf("node show does not tell the step:\n%s", out)
			}
		}
	}
}

// TestQuickstart types what the README says, on the etcd that a conductor brings.
func TestQuickstart(t *testing.T) {
	need(t, "etcdctl", "promtool", "curl")
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(repository, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	// said is a line that the README has.
	said := func(line string) string {
		t.Helper()
		if !strings.Contains(string(readme), line) {
			t.Errorf("the README does not say %q (any more)", line)
		}
		return line
	}
	dir, url := t.TempDir(), fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	flags := []string{"--data-dir", dir, "--etcd-listen", url, "--fake-delay", "power=0.2"}
	c := serve(t, "laptop", flags...)
	etcdctl := program(t, "etcdctl")
	sh := shell{t, []string{
		"PATH=" + scratch + ":" + filepath.Dir(etcdctl) + ":" + os.Getenv("PATH"),
		"CONDUCTOR_SERVER=" + c.url, "ETCDCTL_ENDPOINTS=" + url,
	}}

	if got := strings.Split(sh.run(said("conductor node create -f examples/inventory.yaml")), "\n"); len(got) != 1+24 {
		t.Errorf("node create wrote %d lines, want 24 and a header", len(got))
	}
	if got := strings.Count(sh.run(said("conductor node list")), "fake-hardware"); got != 24 {
		t.Errorf("node list has %d nodes, want 24", got)
	}
	watch := sh.start("conductor lock watch")
	raw := sh.start(said("etcdctl watch --prefix /conductor/v1/locks/"))
	eventually(t, 20*time.Second, "lock watch shows what happens", func() error {
		sh.run("conductor lock run r1-u01 -- true")
		if !strings.Contains(watch.out.text(), "r1-u01") {
			return errNotYet
		}
		return nil
	})
	sh.run(said("conductor node power on r1-u01"))
	watch.line(watch.out, "r1-u01", 10*time.Second)
	var node struct{ UUID string }
	eventually(t, 10*time.Second, "r1-u01 is on", func() error {
		var n nodeStates
		text := sh.run("conductor node show -o json r1-u01")
		if err := json.Unmarshal([]byte(text), &n); err != nil {
			return err
		}
		node.UUID = n.UUID
		if n.Power == nil || *n.Power != "power on" {
			return fmt.Errorf("%s", n)
		}
		return nil
	})
	happened := sh.run(said("conductor events --node r1-u01"))
	for _, want := range []string{"node.create.end", "node.power_set.start", "to power on is done"} {
		if !strings.Contains(happened, want) {
			t.Errorf("events have no %q: %s", want, happened)
		}
	}
	if got := sh.run("curl -sm 20 '" + c.url + "/v1/events?since=0&follow=false'"); !strings.Contains(got, "event: baremetal.node.power_set.end\n") {
		t.Errorf("the stream of events: %s", got)
	}

	// Somebody works by hand, and a conductor keeps away.
	flash := sh.start(strings.ReplaceAll(said(`conductor lock run --purpose "firmware by hand" r1-u01 -- sleep 30`),
		"sleep 30", "sh -c 'echo flashing $CONDUCTOR_LOCK_KEY; read line; echo flashed'"))
	key := strings.TrimPrefix(flash.line(flash.out, "flashing ", 10*time.Second), "flashing ")
	if !strings.HasPrefix(key, root+"locks/"+node.UUID+"/exclusive/") {
		t.Errorf("the key of the lock is %q", key)
	}
	for _, line := range []string{"conductor lock show r1-u01", "conductor lock list", "etcdctl get --prefix /conductor/v1/locks/"} {
		if !strings.Contains(line, "list") {
			said(line)
		}
		if out := sh.run(line); !strings.Contains(out, "firmware by hand") {
			t.Errorf("%s: %s", line, out)
		}
	}
	if out := sh.run(said("etcdctl get --prefix /conductor/v1/intents/")); !strings.Contains(out, node.UUID) {
		t.Errorf("the intent: %s", out)
	}
	if out := sh.run(said("etcdctl get --prefix /conductor/v1/nodes/") + " --keys-only"); strings.Count(out, root) != 24 {
		t.Errorf("records: %s", out)
	}
	var shown struct{ Holders []struct{ Lease string } }
	if err := json.Unmarshal([]byte(sh.run("conductor lock show -o json r1-u01")), &shown); err != nil || len(shown.Holders) != 1 {
		t.Fatalf("lock show: %v, %+v", err, shown)
	}
	if out := sh.run("etcdctl lease timetolive " + shown.Holders[0].Lease + " --keys"); !strings.Contains(out, key) {
		t.Errorf("the lease: %s", out)
	}
	if r := sh.try(said("conductor node power off r1-u01")); r.code != 4 || !strings.Contains(r.err, "firmware by hand") {
		t.Errorf("power off beside it: %s, want exit code 4 and why", r)
	}
	if r := sh.try("conductor lock run r1-u01 -- true"); r.code != 4 {
		t.Errorf("lock run beside it: %s, want exit code 4", r)
	}
	_, _ = fmt.Fprintln(flash.stdin, "done")
	if r := flash.finish(10 * time.Second); r.code != 0 || !strings.Contains(r.out, "flashed") {
		t.Errorf("lock run: %s", r)
	}
	watch.line(watch.out, "released", 10*time.Second)
	raw.line(raw.out, "DELETE", 10*time.Second)
	raw.line(raw.out, "firmware by hand", 10*time.Second)

	lifeOf(t, sh, said)

	// What the metrics say of it.
	metrics := sh.run("curl -fsS " + c.url + "/metrics")
	for _, sample := range []string{
		`conductor_lock_acquisitions_total{mode="exclusive",result="acquired"}`,
		`conductor_lock_acquisitions_total{mode="exclusive",result="timeout"}`,
		`conductor_lock_wait_seconds_count{mode="exclusive",result="acquired"}`, `conductor_lock_hold_seconds_count{mode="exclusive"`,
		`conductor_lease_trust_seconds`, `conductor_members{state="active"}`,
	} {
		if v, ok := metricIn(metrics, sample); !ok || v <= 0 {
			t.Errorf("%s is %v, want it above 0", sample, v)
		}
	}
	for _, name := range []string{
		"conductor_locks_held", "conductor_lock_waiters", "conductor_lock_lost_total", "conductor_fence_rejections_total",
		"conductor_workers_busy", "conductor_worker_rejections_total",
		"conductor_lock_oldest_wait_seconds", "conductor_lock_oldest_hold_seconds", "conductor_sessions_lost_total", "conductor_takeovers_total",
	} {
		said(name)
		if v, ok := metricIn(metrics, name); !ok || v != 0 {
			t.Errorf("%s is %v (there: %v), want 0", name, v, ok)
		}
	}
	if out := sh.run("curl -fsS " + c.url + "/metrics | promtool check metrics"); out != "" {
		t.Errorf("promtool: %s", out)
	}
	if strings.Contains(metrics, "r1-u01") || strings.Contains(metrics, node.UUID) {
		t.Error("a metric names a node")
	}
	if out := sh.run(said("conductor audit")); !cleanAudit.MatchString(out) {
		t.Errorf("audit: %s", out)
	}

	// A restart keeps it all, at once: the directory proves that the old process is gone.
	for _, end := range []func(){func() { c.stop() }, func() { c.kill() }} {
		end()
		at := time.Now()
		c = serve(t, "laptop", flags...)
		t.Logf("ready again %s after a restart", time.Since(at).Round(time.Millisecond))
		if n := strings.Count(c.node("list"), "fake-hardware"); n != 24 {
			t.Errorf("%d nodes after a restart", n)
		}
	}
	if c.stop() != 0 {
		t.Error("the conductor did not stop in order")
	}
}

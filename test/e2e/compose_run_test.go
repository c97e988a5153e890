package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCompose runs docker-compose.yml: three conductors on three etcds, with a
// fleet, and a Prometheus that looks at them.
func TestCompose(t *testing.T) {
	need(t, "prometheus", "promtool")
	t.Parallel()
	d := startDocker(t)
	d.env = append(d.env, "COMPOSE_PROFILES=metrics", "VERSION=e2e",
		"CONDUCTOR_IMAGE=conductor:e2e", "ETCD_IMAGE=conductor-etcd:e2e", "PROMETHEUS_IMAGE=conductor-prometheus:e2e")
	var watch *prometheus
	for _, of := range []string{"ETCD1", "ETCD2", "ETCD3", "CONDUCTOR1", "CONDUCTOR2", "CONDUCTOR3", "PROMETHEUS"} {
		port := freePort(t)
		d.env = append(d.env, fmt.Sprintf("%s_PORT=%d", of, port))
		watch = &prometheus{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	}
	at := time.Now()
	var builds []*process
	for _, image := range []string{"conductor", "etcd", "prometheus"} {
		builds = append(builds, start(t, "build "+image, d.env, filepath.Join("deploy", "build-images.sh"), image))
	}
	for _, b := range builds {
		if r := b.finish(4 * time.Minute); r.code != 0 {
			t.Fatalf("%s: %s", b.name, r)
		}
	}
	watch.process = builds[0] // it names the test
	t.Logf("images built in %s", time.Since(at).Round(time.Second))
	t.Cleanup(func() { d.down("conductor:e2e", "conductor-etcd:e2e", "conductor-prometheus:e2e") })
	at = time.Now()
	d.up()
	d.healthy("etcd1", "etcd2", "etcd3", "conductor1", "conductor2", "conductor3", "prometheus")
	t.Logf("up and healthy after %s", time.Since(at).Round(time.Second))
	if code := d.exited("fleet", 30*time.Second); code != "0" {
		t.Errorf("fleet ended with %s", code)
	}
	if n := strings.Count(d.must("conductor2", "/conductor", "node", "list"), "fake-hardware"); n != 60 {
		t.Errorf("conductor2 has %d nodes, want 60", n)
	}
	watch.says(3, `sum(up{job="conductor"})`)
	watch.says(3, `sum(up{job="conductor-etcd"})`)
	d.must("conductor3", "/conductor", "node", "power", "on", "r4-u01", "--wait=20s")

	composeTools(t, d)
	composeTakeover(t, d)
	composeLosses(t, d, watch)
	if out := d.must("conductor1", "/conductor", "audit"); !cleanAudit.MatchString(out) {
		t.Errorf("audit: %s", out)
	}
}

// composeTools runs the tools that are run and not started.
func composeTools(t *testing.T, d *docker) {
	t.Helper()
	for _, tool := range []struct{ line, want string }{
		{"cli node show r4-u01", "power on"},
		{"etcdctl get --prefix --keys-only /conductor/v1/conductors/", "/conductor/v1/conductors/conductor3"},
	} {
		if r := d.compose(append([]string{"run", "--rm", "-T"}, strings.Fields(tool.line)...)...); r.code != 0 || !strings.Contains(r.out, tool.want) {
			t.Errorf("docker-compose run %s: %s", tool.line, r)
		}
	}
}

// composeTakeover has one hold, all see it, and another take over when the holder
// dies with its container.
func composeTakeover(t *testing.T, d *docker) {
	t.Helper()
	// The command is one that does not end.
	const ttl = 5 * time.Second
	hold := start(t, "lock run in conductor1", d.env, program(t, "docker"), "exec", d.container("conductor1"),
		"/conductor", "lock", "run", "--lease-ttl", ttl.String(), "--purpose", "firmware", "r4-u01", "--", "/conductor", "lock", "watch")
	hold.line(hold.out, "granted", 20*time.Second)
	for _, see := range []struct{ in, cmd string }{
		{"conductor2", "/conductor lock show r4-u01"},
		{"conductor3", "/conductor lock list"},
		{"etcd2", "etcdctl get --prefix /conductor/v1/locks/"},
	} {
		if out := d.must(see.in, strings.Fields(see.cmd)...); !strings.Contains(out, "firmware") || !strings.Contains(out, "conductor1") {
			t.Errorf("%s in %s: %s", see.cmd, see.in, out)
		}
	}
	if out := d.must("conductor3", "/conductor", "node", "list"); strings.Count(out, " conductor1") != 1 {
		t.Errorf("node list does not show one node locked by conductor1: %s", out)
	}
	if r := d.in("conductor2", "/conductor", "node", "power", "off", "r4-u01"); r.code != 4 || !strings.Contains(r.err, "firmware") {
		t.Errorf("power off through conductor2: %s, want exit code 4 and why", r)
	}
	waiter := start(t, "lock run in conductor2", d.env, program(t, "docker"), "exec", d.container("conductor2"),
		"/conductor", "lock", "run", "--wait", "60s", "r4-u01", "--", "/conductor", "version")
	waiter.line(waiter.err, "waiting", 20*time.Second)
	killed := d.kill("conductor1")
	r := waiter.finish(60 * time.Second)
	took := time.Since(killed)
	t.Logf("docker kill of the holder: conductor2 had taken the lock over and given it back after %s (TTL %s)", took.Round(time.Millisecond), ttl)
	if r.code != 0 || !strings.Contains(r.err, "cut off") {
		t.Errorf("take over: %s", r)
	}
	if took > ttl+election+3*time.Second {
		t.Errorf("take over took %s", took)
	}
}

// composeLosses goes on without conductor1, and then without etcd1, and brings both back.
func composeLosses(t *testing.T, d *docker, watch *prometheus) {
	t.Helper()
	d.kill("etcd1")
	for _, step := range [][]string{{"conductor2", "off"}, {"conductor3", "on"}} {
		d.must(step[0], "/conductor", "node", "power", step[1], "r4-u03", "--wait=60s", "--lock-wait", "30s")
	}
	watch.says(2, `sum(up{job="conductor"})`)
	watch.says(2, `sum(up{job="conductor-etcd"})`)

	// What etcd1 knows is in its volume, and not in its container.
	if r := d.compose("rm", "-f", "etcd1"); r.code != 0 {
		t.Fatal(r)
	}
	at := time.Now()
	if r := d.run("stop", "-t", "90", d.container("conductor2")); r.code != 0 || d.exited("conductor2", time.Second) != "0" {
		t.Errorf("stop conductor2: %s", r)
	}
	t.Logf("conductor2 stopped in %s", time.Since(at).Round(100*time.Millisecond))
	d.up()
	d.healthy("etcd1", "conductor1", "conductor2")
	if out := d.must("etcd1", "etcdctl", "get", "--prefix", "--keys-only", "--consistency=s", "/conductor/v1/nodes/"); strings.Count(out, root) != 60 {
		t.Errorf("etcd1 has not all 60 nodes: %s", out)
	}
	if code := d.exited("fleet", 30*time.Second); code != "0" {
		t.Errorf("fleet, when its nodes are there, ended with %s", code)
	}
	d.must("conductor1", "/conductor", "node", "power", "off", "r4-u03", "--wait=60s", "--lock-wait", "30s")
}

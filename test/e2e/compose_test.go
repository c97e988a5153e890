package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// docker is an engine, that of the machine or one of our own.
type docker struct {
	t       *testing.T
	env     []string
	project string
}

// startDocker returns an engine that answers. Where none does it starts one in a
// network namespace of its own, which keeps its bridges and rules to itself.
func startDocker(t *testing.T) *docker {
	t.Helper()
	need(t, "docker", "docker-compose")
	d := &docker{t: t, project: fmt.Sprintf("conductor-e2e-%d", os.Getpid()), env: []string{"DOCKER_BUILDKIT=0"}}
	if r := run(t, d.env, program(t, "docker"), "version"); r.code == 0 {
		return d
	}
	if os.Geteuid() != 0 {
		missing(t, "no docker engine answers, and only root can start one")
	}
	need(t, "dockerd", "ip", "iptables", "nsenter")
	dir := t.TempDir()
	ns := d.project
	if r := run(t, nil, program(t, "ip"), "netns", "add", ns); r.code != 0 {
		missing(t, "no docker engine answers, and there is no network namespace for one: %s", r)
	}
	t.Cleanup(func() { run(t, nil, program(t, "ip"), "netns", "del", ns) })
	if r := run(t, nil, program(t, "ip"), "-n", ns, "link", "set", "lo", "up"); r.code != 0 {
		t.Fatal(r)
	}
	socket := "unix://" + filepath.Join(dir, "docker.sock")
	config := filepath.Join(dir, "daemon.json") // and not the machine's
	if err := os.WriteFile(config, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Not "ip netns exec", which hides the cgroups.
	engine := start(t, "dockerd", nil, program(t, "nsenter"), "--net=/var/run/netns/"+ns, program(t, "dockerd"),
		"--config-file", config, "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "-p", filepath.Join(dir, "pid"), "-H", socket)
	t.Cleanup(func() {
		if engine.running() {
			engine.signal(syscall.SIGTERM)
			engine.exit(30 * time.Second)
		}
	})
	d.env = append(d.env, "DOCKER_HOST="+socket)
	eventually(t, 60*time.Second, "an engine of our own answers", func() error {
		if !engine.running() {
			missing(t, "no docker engine answers, and none can be started here: %s", engine.err.tail("dockerd", 5))
		}
		if r := run(t, d.env, program(t, "docker"), "version"); r.code != 0 {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
	return d
}

func (d *docker) run(args ...string) result {
	d.t.Helper()
	return run(d.t, d.env, program(d.t, "docker"), args...)
}

func (d *docker) compose(args ...string) result {
	d.t.Helper()
	p := start(d.t, "docker-compose "+args[0], d.env, program(d.t, "docker-compose"), append([]string{"-p", d.project}, args...)...)
	_ = p.stdin.Close()
	return p.finish(3 * time.Minute)
}

// in runs a command in the container of a service.
func (d *docker) in(service string, cmd ...string) result {
	d.t.Helper()
	return d.run(append([]string{"exec", d.container(service)}, cmd...)...)
}

func (d *docker) must(service string, cmd ...string) string {
	d.t.Helper()
	r := d.in(service, cmd...)
	if r.code != 0 {
		d.t.Fatalf("%s in %s: %s", strings.Join(cmd, " "), service, r)
	}
	return r.out
}

// container is the id of a service's container.
func (d *docker) container(service string) string {
	d.t.Helper()
	r := d.run("ps", "-aq", "--filter", "label=com.docker.compose.project="+d.project, "--filter", "label=com.docker.compose.service="+service)
	id := strings.TrimSpace(r.out)
	if r.code != 0 || id == "" || strings.Contains(id, "\n") {
		d.t.Fatalf("container of %s: %s", service, r)
	}
	return id
}

func (d *docker) healthy(services ...string) {
	d.t.Helper()
	for _, s := range services {
		eventually(d.t, 90*time.Second, s+" is healthy", func() error {
			r := d.run("inspect", "--format", "{{.State.Status}} {{.State.Health.Status}}", d.container(s))
			if strings.TrimSpace(r.out) != "running healthy" {
				return fmt.Errorf("%s", r)
			}
			return nil
		})
	}
}

// TestCompose runs docker-compose.yml: three conductors on three etcds.
func TestCompose(t *testing.T) {
	need(t)
	t.Parallel()
	d := startDocker(t)
	d.env = append(d.env, "CONDUCTOR_IMAGE=conductor:e2e", "ETCD_IMAGE=conductor-etcd:e2e", "VERSION=e2e")
	for _, port := range []string{"ETCD1", "ETCD2", "ETCD3", "CONDUCTOR1", "CONDUCTOR2", "CONDUCTOR3"} {
		d.env = append(d.env, fmt.Sprintf("%s_PORT=%d", port, freePort(t)))
	}
	build := start(t, "build-images.sh", d.env, filepath.Join("deploy", "build-images.sh"))
	if r := build.finish(4 * time.Minute); r.code != 0 {
		t.Fatalf("build the images: %s", r)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", d.compose("logs", "--no-color", "--tail=30"))
		}
		at := time.Now()
		if r := d.compose("down", "-v", "--remove-orphans"); r.code != 0 {
			t.Errorf("docker-compose down: %s", r)
		}
		t.Logf("down after %s", time.Since(at).Round(time.Second))
		for _, what := range []string{"ps -aq", "volume ls -q", "network ls -q"} {
			r := d.run(append(strings.Fields(what), "--filter", "label=com.docker.compose.project="+d.project)...)
			if r.out != "" {
				t.Errorf("docker %s: left behind %s", what, r)
			}
		}
		if r := d.run("rmi", "conductor:e2e", "conductor-etcd:e2e"); r.code != 0 {
			t.Errorf("remove the images: %s", r)
		}
	})
	at := time.Now()
	if r := d.compose("up", "-d"); r.code != 0 {
		t.Fatalf("docker-compose up: %s", r)
	}
	d.healthy("etcd1", "etcd2", "etcd3", "conductor1", "conductor2", "conductor3")
	t.Logf("up and healthy after %s", time.Since(at).Round(time.Second))

	// One creates, all see it.
	inventory, err := os.Open(filepath.Join(repository, "examples", "inventory.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer inventory.Close()
	create := start(t, "node create", d.env, program(t, "docker"), "exec", "-i", d.container("conductor1"), "/conductor", "node", "create", "-f", "/dev/stdin")
	if _, err := inventory.WriteTo(create.stdin); err != nil {
		t.Fatal(err)
	}
	_ = create.stdin.Close()
	if r := create.finish(time.Minute); r.code != 0 {
		t.Fatalf("node create: %s", r)
	}
	if n := strings.Count(d.must("conductor2", "/conductor", "node", "list"), "fake-hardware"); n != 24 {
		t.Errorf("conductor2 has %d nodes, want 24", n)
	}
	d.must("conductor3", "/conductor", "node", "power", "on", "r1-u01", "--wait=20s")

	// One holds, all see it, and etcd too. The command is one that does not end.
	const ttl = 5 * time.Second
	hold := start(t, "lock run in conductor1", d.env, program(t, "docker"), "exec", d.container("conductor1"),
		"/conductor", "lock", "run", "--lease-ttl", ttl.String(), "--purpose", "firmware", "r1-u01", "--", "/conductor", "lock", "watch")
	hold.line(hold.out, "granted", 20*time.Second)
	for _, see := range []struct{ in, cmd string }{
		{"conductor2", "/conductor lock show r1-u01"},
		{"conductor3", "/conductor lock list"},
		{"etcd2", "/etcdctl get --prefix /conductor/v1/locks/"},
	} {
		if out := d.must(see.in, strings.Fields(see.cmd)...); !strings.Contains(out, "firmware") || !strings.Contains(out, "conductor1") {
			t.Errorf("%s in %s: %s", see.cmd, see.in, out)
		}
	}
	if out := d.must("conductor3", "/conductor", "node", "list"); strings.Count(out, " conductor1") != 1 {
		t.Errorf("node list does not show one node locked by conductor1: %s", out)
	}
	if r := d.in("conductor2", "/conductor", "node", "power", "off", "r1-u01"); r.code != 4 || !strings.Contains(r.err, "firmware") {
		t.Errorf("power off through conductor2: %s, want exit code 4 and why", r)
	}

	// The holder dies with its container; another takes over.
	id := d.container("conductor1")
	waiter := start(t, "lock run in conductor2", d.env, program(t, "docker"), "exec", d.container("conductor2"),
		"/conductor", "lock", "run", "--wait", "60s", "r1-u01", "--", "/conductor", "version")
	waiter.line(waiter.err, "waiting", 20*time.Second)
	killed := time.Now()
	if r := d.run("kill", "-s", "KILL", id); r.code != 0 {
		t.Fatal(r)
	}
	r := waiter.finish(60 * time.Second)
	took := time.Since(killed)
	t.Logf("docker kill of the holder: conductor2 had taken the lock over and given it back after %s (TTL %s)", took.Round(time.Millisecond), ttl)
	if r.code != 0 || !strings.Contains(r.err, "cut off") {
		t.Errorf("take over: %s", r)
	}
	if took > ttl+election+3*time.Second {
		t.Errorf("take over took %s", took)
	}

	// Two conductors and two etcds are enough.
	if r := d.run("kill", "-s", "KILL", d.container("etcd1")); r.code != 0 {
		t.Fatal(r)
	}
	d.must("conductor2", "/conductor", "node", "power", "off", "r1-u03", "--wait=60s", "--lock-wait", "30s")
	d.must("conductor3", "/conductor", "node", "power", "on", "r1-u03", "--wait=60s", "--lock-wait", "30s")

	// And back.
	if r := d.compose("up", "-d"); r.code != 0 {
		t.Fatalf("docker-compose up: %s", r)
	}
	d.healthy("etcd1", "conductor1")
	d.must("conductor1", "/conductor", "node", "power", "off", "r1-u03", "--wait=60s", "--lock-wait", "30s")
	if out := d.must("conductor1", "/conductor", "audit"); !cleanAudit.MatchString(out) {
		t.Errorf("audit: %s", out)
	}
}

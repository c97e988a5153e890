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

// exited waits until a container has ended, and returns its exit code.
func (d *docker) exited(service string, limit time.Duration) (code string) {
	d.t.Helper()
	eventually(d.t, limit, service+" has ended", func() error {
		r := d.run("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", d.container(service))
		var ended bool
		if code, ended = strings.CutPrefix(strings.TrimSpace(r.out), "exited "); !ended {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
	return code
}

// kill ends a container as a power cut would.
func (d *docker) kill(service string) time.Time {
	d.t.Helper()
	if r := d.run("kill", "-s", "KILL", d.container(service)); r.code != 0 {
		d.t.Fatal(r)
	}
	return time.Now()
}

// up starts what does not run.
func (d *docker) up() {
	d.t.Helper()
	if r := d.compose("up", "-d"); r.code != 0 {
		d.t.Fatalf("docker-compose up: %s", r)
	}
}

// down removes all that the test has made.
func (d *docker) down(images ...string) {
	d.t.Helper()
	if d.t.Failed() {
		d.t.Logf("%s", d.compose("logs", "--no-color", "--tail=30"))
	}
	// Volumes without a name would stay for ever.
	all := strings.Fields(d.run("ps", "-aq", "--filter", "label=com.docker.compose.project="+d.project).out)
	r := d.run(append([]string{"inspect", "--format", `{{$c := .Name}}{{range .Mounts}}{{if .Name}}{{println $c .Name}}{{end}}{{end}}`}, all...)...)
	for mount := range strings.Lines(r.out) {
		if mount = strings.TrimSpace(mount); mount != "" && !strings.Contains(mount, " "+d.project+"_") {
			d.t.Errorf("a volume without a name: %s", mount)
		}
	}
	at := time.Now()
	if r := d.compose("down", "-v", "--remove-orphans", "-t", "10"); r.code != 0 {
		d.t.Errorf("docker-compose down: %s", r)
	}
	d.t.Logf("down after %s", time.Since(at).Round(time.Second))
	for _, what := range []string{"ps -aq", "volume ls -q", "network ls -q"} {
		r := d.run(append(strings.Fields(what), "--filter", "label=com.docker.compose.project="+d.project)...)
		if r.out != "" {
			d.t.Errorf("docker %s: left behind %s", what, r)
		}
	}
	if r := d.run(append([]string{"rmi"}, images...)...); r.code != 0 {
		d.t.Errorf("remove the images: %s", r)
	}
}

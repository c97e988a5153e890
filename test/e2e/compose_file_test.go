package e2e

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// composeFile is what a reader of docker-compose.yml makes of it.
type composeFile struct {
	Services map[string]struct {
		Image       string
		Restart     string
		Hostname    string
		Profiles    []string
		Grace       string `yaml:"stop_grace_period"`
		Ports       []any
		Environment map[string]any
		Healthcheck struct{ Test []string }
	}
}

// TestComposeFile has both generations of docker-compose read the file, and looks
// at what they understood.
func TestComposeFile(t *testing.T) {
	need(t, "docker-compose", "compose-spec")
	t.Parallel()
	env := []string{"COMPOSE_PROFILES=metrics,grafana,tools"}
	var read []composeFile
	for _, by := range [][]string{{"docker-compose", "config"}, {"compose-spec", "docker-compose.yml"}} {
		r := run(t, env, program(t, by[0]), by[1:]...)
		var f composeFile
		if r.code != 0 || strings.Contains(r.err, "level=warning") {
			t.Fatalf("%s: %s", by[0], r)
		}
		if err := yaml.Unmarshal([]byte(r.out), &f); err != nil {
			t.Fatal(err)
		}
		read = append(read, f)
	}
	v1, v2 := slices.Sorted(maps.Keys(read[0].Services)), slices.Sorted(maps.Keys(read[1].Services))
	if len(v1) != 11 || !slices.Equal(v1, v2) {
		t.Errorf("version 1 sees the services %v, version 2 %v", v1, v2)
	}
	names := map[string]bool{}
	for name, s := range read[1].Services {
		if slices.Contains([]string{"fleet", "cli", "etcdctl"}, name) {
			if s.Restart != "" {
				t.Errorf("%s is run once, and restarts %s", name, s.Restart)
			}
			continue
		}
		if s.Restart != "unless-stopped" {
			t.Errorf("%s restarts %q", name, s.Restart)
		}
		// In an image FROM scratch is no shell.
		if name != "grafana" && (len(s.Healthcheck.Test) == 0 || s.Healthcheck.Test[0] != "CMD") {
			t.Errorf("the health of %s is asked by %v", name, s.Healthcheck.Test)
		}
		for _, port := range s.Ports {
			if text, err := json.Marshal(port); err != nil || !strings.Contains(string(text), `"host_ip":"127.0.0.1"`) {
				t.Errorf("%s publishes %s beyond this machine", name, text)
			}
		}
		if strings.HasPrefix(name, "conductor") {
			checkGrace(t, s.Grace)
			if s.Hostname != name || s.Environment["CONDUCTOR_HOST"] != name || names[s.Hostname] {
				t.Errorf("%s is %q and %v", name, s.Hostname, s.Environment["CONDUCTOR_HOST"])
			}
			names[s.Hostname] = true
		}
	}
	if len(names) != 3 {
		t.Errorf("the conductors are %v", names)
	}
}

// checkGrace compares the time that docker gives a conductor with what it may take.
func checkGrace(t *testing.T, grace string) {
	t.Helper()
	given, err := time.ParseDuration(grace)
	if need := settingOf(t, "shutdown-timeout") + settingOf(t, "lease-ttl"); err != nil || given <= need {
		t.Errorf("docker gives a conductor %v (%v) to stop, and it may take %v", given, err, need)
	}
}

// settingOf is the value that "serve" has for a duration.
func settingOf(t *testing.T, name string) time.Duration {
	t.Helper()
	var all []struct{ Name, Value string }
	out := must(t, "config", "show", "serve", "-o", "json")
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	for _, s := range all {
		if s.Name == name {
			d, err := time.ParseDuration(s.Value)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
	}
	t.Fatalf("serve has no setting %s", name)
	return 0
}

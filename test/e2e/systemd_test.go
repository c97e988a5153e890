package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestSystemd has systemd judge the unit, and compares it with what the program can.
func TestSystemd(t *testing.T) {
	need(t, "systemd-analyze")
	t.Parallel()
	unit := monitoring(t, "systemd/conductor.service")
	const installed = "/usr/local/bin/conductor"
	if !strings.Contains(unit, "\nExecStart="+installed+" serve\n") {
		t.Fatal("the unit does not start what docs/operations.md installs")
	}
	file := filepath.Join(t.TempDir(), "conductor.service")
	text := strings.ReplaceAll(unit, installed, conductorProgram.get(t))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// A key that it does not know it only tells of.
	if r := run(t, nil, program(t, "systemd-analyze"), "verify", file); r.code != 0 || r.out+r.err != "" {
		t.Errorf("systemd-analyze verify: %s", r)
	}
	// In tenths: 0 is a service that can do nothing, 100 one that may do all.
	r := run(t, nil, program(t, "systemd-analyze"), "security", "--no-pager", "--offline=true", "--threshold=15", file)
	if r.code != 0 {
		t.Errorf("systemd-analyze security: %s", r)
	}
	if level := regexp.MustCompile(`Overall exposure level.*: \d+\.\d`).FindString(r.out); level != "" {
		t.Log(level)
	}

	value := func(key string) string {
		t.Helper()
		found := regexp.MustCompile(`(?m)^`+key+`=(.*)$`).FindAllStringSubmatch(unit, -1)
		if len(found) != 1 {
			t.Fatalf("the unit has %d times %s", len(found), key)
		}
		return found[0][1]
	}
	stop, err := time.ParseDuration(value("TimeoutStopSec"))
	if need := settingOf(t, "shutdown-timeout") + settingOf(t, "lease-ttl"); err != nil || stop <= need {
		t.Errorf("systemd gives a conductor %v (%v) to stop, and it may take %v", stop, err, need)
	}
	if got := value("Type"); got != "notify" {
		t.Errorf("the type is %s", got)
	}
	if dir := value("StateDirectory"); value("Environment") != "CONDUCTOR_DATA_DIR=%S/"+dir {
		t.Errorf("the data directory is not the state directory %s", dir)
	}
}

// TestSystemdSettings reads each line of the example as the program does.
func TestSystemdSettings(t *testing.T) {
	need(t)
	t.Parallel()
	var env []string
	for _, line := range regexp.MustCompile(`(?m)^#?(CONDUCTOR_\w+=.*)$`).FindAllStringSubmatch(monitoring(t, "systemd/conductor.env"), -1) {
		env = append(env, line[1])
	}
	if len(env) < 8 {
		t.Fatalf("the example has %d settings", len(env))
	}
	r := run(t, env, conductorProgram.get(t), "config", "show", "serve", "-o", "json")
	var all []struct{ Name, Value, Origin string }
	if err := json.Unmarshal([]byte(r.out), &all); r.code != 0 || err != nil {
		t.Fatalf("config show: %v %s", err, r)
	}
	origins := map[string]string{}
	for _, s := range all {
		origins["CONDUCTOR_"+strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))] = s.Origin
	}
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if !strings.Contains(origins[name], name) {
			t.Errorf("conductor.env has %s, and serve takes that from %q", name, origins[name])
		}
	}
	if strings.Contains(r.out, "secret") {
		t.Errorf("config show tells a password: %s", r.out)
	}
}

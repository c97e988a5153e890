package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runAs runs a command line with an environment of its own.
func runAs(t *testing.T, env map[string]string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	p := program{in: strings.NewReader(""), out: &o, err: &e, env: func(k string) string { return env[k] }}
	code = p.run(t.Context(), args)
	return code, o.String(), e.String()
}

// shownSetting is what "config show" says of a setting.
func shownSetting(t *testing.T, env map[string]string, name string, args ...string) setting {
	t.Helper()
	code, out, errs := runAs(t, env, append([]string{"config", "show", "-o", "json"}, args...)...)
	if code != exitOK {
		t.Fatalf("config show %q: code %d: %s", args, code, errs)
	}
	var all []setting
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("config show %q: no setting %q", args, name)
	return setting{}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "conductor.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSettingsPrecedence(t *testing.T) {
	file := writeFile(t, "lease-ttl: 20s\netcd-endpoints: [http://file:1, http://file:2]\nfake-delay: {power: 2, deploy: [5, 20]}\netcd-user: a:b\n")
	for _, c := range []struct {
		name, setting, verb string
		env                 map[string]string
		file                bool
		value, from         string
	}{
		{"default", "lease-ttl", "serve", nil, false, "15s", "default"},
		{"file", "lease-ttl", "serve", nil, true, "20s", "--config: lease-ttl"},
		{"environment over file", "lease-ttl", "serve", map[string]string{"CONDUCTOR_LEASE_TTL": "30s"}, true, "30s", "$CONDUCTOR_LEASE_TTL"},
		{"empty environment is none", "lease-ttl", "serve", map[string]string{"CONDUCTOR_LEASE_TTL": ""}, true, "20s", "--config: lease-ttl"},
		{"list", "etcd-endpoints", "lock list", nil, true, "[http://file:1,http://file:2]", "--config: etcd-endpoints"},
		{"etcdctl's variable", "etcd-endpoints", "lock list", map[string]string{"ETCDCTL_ENDPOINTS": "http://x:1"}, false, "[http://x:1]", "$ETCDCTL_ENDPOINTS"},
		{"file over etcdctl's variable", "etcd-endpoints", "lock list", map[string]string{"ETCDCTL_ENDPOINTS": "http://x:1"}, true, "[http://file:1,http://file:2]", "--config: etcd-endpoints"},
		{"own variable over etcdctl's", "etcd-endpoints", "lock list", map[string]string{"ETCDCTL_ENDPOINTS": "http://x:1", "CONDUCTOR_ETCD_ENDPOINTS": "http://y:1"}, false, "[http://y:1]", "$CONDUCTOR_ETCD_ENDPOINTS"},
		{"serve starts its etcd in spite of etcdctl's variable", "etcd-endpoints", "serve", map[string]string{"ETCDCTL_ENDPOINTS": "http://x:1"}, false, "[]", "default"},
		{"map", "fake-delay", "serve", nil, true, "deploy=5,20;power=2", "--config: fake-delay"},
		{"map in the environment", "fake-delay", "serve", map[string]string{"CONDUCTOR_FAKE_DELAY": "power=1,3;deploy=2"}, true, "deploy=2;power=1,3", "$CONDUCTOR_FAKE_DELAY"},
		{"password is masked", "etcd-user", "serve", nil, true, "a:******", "--config: etcd-user"},
		{"server", "server", "node list", map[string]string{"CONDUCTOR_SERVER": "http://s:1"}, false, "http://s:1", "$CONDUCTOR_SERVER"},
		{"wait", "wait", "lock run", map[string]string{"CONDUCTOR_WAIT": "forever"}, false, "forever", "$CONDUCTOR_WAIT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var args []string
			args = append(args, strings.Fields(c.verb)...)
			if c.file {
				args = append(args, "--config", file)
			}
			got := shownSetting(t, c.env, c.setting, args...)
			if want := (setting{c.setting, c.value, c.from}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestFlagsBeatEverything(t *testing.T) {
	p := program{env: func(k string) string { return map[string]string{"CONDUCTOR_LEASE_TTL": "30s"}[k] }}
	serve, _, err := p.root().Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.ParseFlags([]string{"--lease-ttl", "40s", "--config", writeFile(t, "lease-ttl: 20s")}); err != nil {
		t.Fatal(err)
	}
	if err := p.applySettings(serve, nil); err != nil {
		t.Fatal(err)
	}
	if got := serve.Flag("lease-ttl").Value.String(); got != "40s" {
		t.Errorf("lease-ttl: got %s, want that of the flag, 40s", got)
	}
}

func TestSettingsRefused(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"unknown name", "lease-tll: 20s", `no setting "lease-tll"`},
		{"what confirms", "yes: true", `no setting "yes"`},
		{"what a break is for", "reason: x", `no setting "reason"`},
		{"bad value", "lease-ttl: soon", `--config: lease-ttl: time: invalid duration "soon"`},
		{"a list for one value", "lease-ttl: [1s]", "not a list"},
		{"a map for one value", "lease-ttl: {a: 1s}", "not a map"},
		{"no value", "lease-ttl:", "no value"},
		{"no YAML", "a: b: c", "--config"},
		{"no such file", "", "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "none.yaml")
			if c.file != "" {
				file = writeFile(t, c.file)
			}
			code, _, errs := runAs(t, map[string]string{"CONDUCTOR_CONFIG": file}, "config", "show")
			if code != exitUsage || !strings.Contains(errs, c.want) {
				t.Errorf("got code %d and %q, want 2 and %q", code, errs, c.want)
			}
		})
	}
}

// A name means the same everywhere: one file serves all verbs.
func TestWrongUsage(t *testing.T) {
	for _, line := range []string{
		"serve --no-such-flag", "serve extra", "lokc", "lock lits", "lock show", "lock run n1 true",
		"lock run n1 --", "lock run --wait soon n1 -- true", "lock break n1", "lock break n1 --reason x --yes", "node list -o xml",
		"node create", "serve --log-level loud", "serve --enabled-hardware-types none", "serve --etcd-endpoints x --etcd-user me",
		"config show no such",
	} {
		if code, _, errs := runAs(t, nil, strings.Fields(line)...); code != exitUsage || errs == "" {
			t.Errorf("%s: got code %d and %q, want 2 and an explanation", line, code, errs)
		}
	}
}

func TestHelpHasEveryVerb(t *testing.T) {
	code, out, _ := runAs(t, nil, "help", "exit-codes")
	if code != exitOK || !strings.Contains(out, "the lock was lost") {
		t.Errorf("exit-codes: got %d and %q", code, out)
	}
	if code, out, _ := runAs(t, nil, "completion", "bash"); code != exitOK || out == "" {
		t.Errorf("completion: got %d and %d bytes", code, len(out))
	}
	var v map[string]string
	if code, out, _ := runAs(t, nil, "version", "-o", "json"); code != exitOK || json.Unmarshal([]byte(out), &v) != nil || v["version"] != version {
		t.Errorf("version: got %d and %q", code, out)
	}
	if code := (program{env: os.Getenv, out: &bytes.Buffer{}, err: &bytes.Buffer{}}).run(context.Background(), nil); code != exitOK {
		t.Errorf("no arguments: got %d, want the help and 0", code)
	}
}

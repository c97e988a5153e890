package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// monitoring is a file below deploy/.
func monitoring(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// dashboard returns the expressions of the dashboard, with its variables replaced.
func dashboard(t *testing.T) []string {
	t.Helper()
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Annotations struct{ List []struct{ Expr string } }
	}
	if err := json.Unmarshal([]byte(monitoring(t, "grafana/conductor.json")), &board); err != nil {
		t.Fatal(err)
	}
	values := strings.NewReplacer("$__rate_interval", "1m", "$job", ".*", "$instance", ".*")
	var all []string
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			all = append(all, values.Replace(target.Expr))
		}
	}
	for _, a := range board.Annotations.List {
		all = append(all, values.Replace(a.Expr))
	}
	if len(all) < 50 {
		t.Fatalf("the dashboard has %d expressions", len(all))
	}
	for _, expr := range all {
		if strings.Contains(strings.ReplaceAll(expr, `"$1"`, ""), "$") {
			t.Errorf("a variable that nobody replaces: %s", expr)
		}
	}
	return all
}

// TestPrometheusFiles has promtool judge what deploy/ has for Prometheus and Grafana.
func TestPrometheusFiles(t *testing.T) {
	need(t, "promtool")
	t.Parallel()
	promtool := func(args ...string) {
		t.Helper()
		if r := start(t, "promtool", nil, program(t, "promtool"), args...).finish(5 * time.Minute); r.code != 0 {
			t.Errorf("promtool %s: %s", strings.Join(args, " "), r)
		}
	}
	promtool("check", "config", "deploy/prometheus/prometheus.yml") // and the rules with it
	promtool("test", "rules", "deploy/prometheus/rules_test.yml")

	var rules []map[string]string
	for i, expr := range dashboard(t) {
		rules = append(rules, map[string]string{"record": fmt.Sprintf("panel_%d", i), "expr": expr})
	}
	text, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml") // JSON is YAML
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool("check", "rules", file)

	// Each alert has its test, and a word on what to do.
	tests, guide := monitoring(t, "prometheus/rules_test.yml"), monitoring(t, "../docs/operations.md")
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(monitoring(t, "prometheus/rules.yml"), -1)
	if len(alerts) < 20 {
		t.Errorf("%d alerts", len(alerts))
	}
	for _, a := range alerts {
		if !strings.Contains(tests, a[1]) {
			t.Errorf("rules_test.yml does not test %s", a[1])
		}
		if !strings.Contains(guide, "`"+a[1]+"`") {
			t.Errorf("docs/operations.md does not explain %s", a[1])
		}
	}
}

// checkNames looks up each metric that the files name in what is really exposed,
// and has promtool judge that.
func checkNames(t *testing.T, cs []*conductor, e *etcd) {
	t.Helper()
	exposed, err := fetch(e.members[0].url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cs { // not all have had the same to do
		ours, err := fetch(c.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		check := start(t, "promtool check metrics", nil, program(t, "promtool"), "check", "metrics")
		_, _ = fmt.Fprint(check.stdin, ours)
		_ = check.stdin.Close()
		if r := check.finish(20 * time.Second); r.code != 0 || r.out+r.err != "" {
			t.Errorf("promtool check metrics: %s", r)
		}
		exposed += ours
	}
	names, suffix := regexp.MustCompile(`[\w:]*(conductor|etcd)_[a-z_:]+\w*`), regexp.MustCompile(`_(bucket|sum|count)$`)
	for _, file := range []string{"prometheus/rules.yml", "prometheus/rules_test.yml", "grafana/conductor.json"} {
		for _, name := range names.FindAllString(monitoring(t, file), -1) {
			if !strings.Contains(name, ":") && !strings.Contains(exposed, "# HELP "+suffix.ReplaceAllString(name, "")+" ") {
				t.Errorf("deploy/%s names %s, which nobody exposes", file, name)
			}
		}
	}
}

// Package house holds the rules of the house that the compiler does not: which
// package may know which other, and how the tree is kept. It has tests only.
package house

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// mayKnow says which of our packages the non-test files of a package in pkg/,
// and of one in internal/ that is to know few, may import, apart from packages below itself. A package not named here takes
// the row of the nearest directory above it, which it may import too.
//
// Arrows point down only. A package in pkg/ never imports one in internal/:
// what is public must be usable without the daemon.
var mayKnow = map[string][]string{
	"pkg/node":     {},
	"pkg/lease":    {},
	"pkg/hardware": {"pkg/node"},
	"pkg/task":     {"pkg/node", "pkg/lease", "pkg/hardware"},

	"internal/bench": {"pkg/node", "pkg/lease"},
}

// mayNotKnow are arrows between the internal packages that would point up.
var mayNotKnow = map[string][]string{
	"internal/provision": {"internal/api"},
	"internal/cluster":   {"internal/api"},
}

const (
	embedetcd  = "internal/embedetcd"
	etcdServer = "go.etcd.io/etcd/server/"
)

// goPackage is what go list tells of a package of ours. Imports are those of
// its non-test files, which alone are checked: a test may import what it likes.
type goPackage struct {
	ImportPath string
	Imports    []string
}

func TestImports(t *testing.T) {
	module := strings.TrimSpace(goTool(t, "list", "-m"))
	var packages []goPackage
	for dec := json.NewDecoder(strings.NewReader(goTool(t, "list", "-json=ImportPath,Imports", "./..."))); dec.More(); {
		var p goPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	for _, complaint := range checkImports(module, packages) {
		t.Error(complaint)
	}
}

func goTool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = root(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return string(out)
}

// checkImports returns a complaint for each import that breaks a rule.
func checkImports(module string, packages []goPackage) []string {
	var complaints []string
	for _, p := range packages {
		from := strings.TrimPrefix(p.ImportPath, module+"/")
		if row, ok := rowOf(from); within(from, "pkg") && !ok {
			complaints = append(complaints, fmt.Sprintf(
				"%s has no row in mayKnow%s: decide what it may know, and add one", from, row))
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module+"/")
			var why string
			if ours {
				why = checkOurs(from, to)
			} else {
				why = checkForeign(from, imp)
			}
			if why != "" {
				complaints = append(complaints, fmt.Sprintf("%s imports %s: %s", from, to, why))
			}
		}
	}
	return complaints
}

// checkOurs says what is wrong with an import between two of our packages.
func checkOurs(from, to string) string {
	switch row, known := rowOf(from); {
	case isTestPackage(to) && !isTestPackage(from):
		return "a *test package is for tests only"
	case to == embedetcd && !within(from, "cmd"):
		return "only cmd/ and tests start an etcd; take a client instead"
	case within(from, "pkg") && within(to, "internal"):
		return "pkg/ is public and must be usable without internal/"
	case within(from, "pkg") && !within(to, "pkg"):
		return "arrows point down only"
	case known && !within(to, row) && !slices.ContainsFunc(mayKnow[row], func(ok string) bool { return within(to, ok) }):
		if len(mayKnow[row]) == 0 {
			return row + " may know none of our packages"
		}
		return row + " may know " + strings.Join(mayKnow[row], ", ") + " only"
	}
	for _, up := range mayNotKnow[from] {
		if within(to, up) {
			return "arrows point down only, and " + up + " is above " + from
		}
	}
	return ""
}

// checkForeign says what is wrong with an import from outside of the module.
func checkForeign(from, imp string) string {
	switch {
	case strings.HasPrefix(imp, etcdServer) && from != embedetcd:
		return "etcd's server belongs to " + embedetcd + " and to tests; use go.etcd.io/etcd/client/v3"
	case within(imp, "testing") && !isTestPackage(from) && !within(from, "test"):
		return "only tests and *test packages import testing"
	}
	return ""
}

// rowOf finds the row of mayKnow that holds for a package.
func rowOf(pkg string) (row string, ok bool) {
	for dir := pkg; dir != "."; dir = path.Dir(dir) {
		if _, ok := mayKnow[dir]; ok {
			return dir, true
		}
	}
	return "", false
}

// isTestPackage tells a package made for the tests of its users, like
// pkg/lease/leasetest.
func isTestPackage(pkg string) bool {
	dir, name := path.Split(pkg)
	return name == path.Base(dir)+"test"
}

func within(pkg, dir string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }

// The checker itself: it must find what is planted, and nothing else.
func TestImportsCheckerFindsWhatIsPlanted(t *testing.T) {
	const m = "example.org/m"
	good := map[string][]string{
		m + "/pkg/node":                  {"context"},
		m + "/pkg/lease":                 {"go.etcd.io/etcd/client/v3"},
		m + "/pkg/lease/leasetest":       {"testing", m + "/pkg/lease"},
		m + "/pkg/hardware":              {m + "/pkg/node"},
		m + "/pkg/hardware/fake":         {m + "/pkg/node", m + "/pkg/hardware"},
		m + "/pkg/hardware/hardwaretest": {"testing", m + "/pkg/hardware", m + "/pkg/hardware/fake"},
		m + "/pkg/task":                  {m + "/pkg/node", m + "/pkg/lease", m + "/pkg/hardware"},
		m + "/internal/bench":            {m + "/pkg/lease", m + "/pkg/node"},
		m + "/internal/embedetcd":        {"go.etcd.io/etcd/server/v3/embed"},
		m + "/internal/provision":        {m + "/pkg/task"},
		m + "/internal/api":              {m + "/pkg/task", m + "/internal/provision"},
		m + "/cmd/conductor":             {m + "/internal/api", m + "/internal/embedetcd"},
	}
	tests := []struct {
		name, from, imp, want string
	}{
		{"nothing planted", "pkg/node", "fmt", ""},
		{"lease knows a node", "pkg/lease", m + "/pkg/node", "none of our packages"},
		{"lease knows the hardware", "pkg/lease", m + "/pkg/hardware", "none of our packages"},
		{"lease knows the task", "pkg/lease", m + "/pkg/task", "none of our packages"},
		{"node knows a lease", "pkg/node", m + "/pkg/lease", "none of our packages"},
		{"hardware knows a lock", "pkg/hardware", m + "/pkg/lease", "pkg/node only"},
		{"a driver knows a lock", "pkg/hardware/fake", m + "/pkg/lease", "pkg/node only"},
		{"hardware knows the task", "pkg/hardware", m + "/pkg/task", "pkg/node only"},
		{"leasetest knows a node", "pkg/lease/leasetest", m + "/pkg/node", "none of our packages"},
		{"task knows the daemon", "pkg/task", m + "/internal/provision", "without internal/"},
		{"lease starts an etcd", "pkg/lease", m + "/internal/embedetcd", "only cmd/"},
		{"pkg knows cmd", "pkg/task", m + "/cmd/conductor", "down only"},
		{"a new public package", "pkg/client", "fmt", "no row in mayKnow"},
		{"the api starts an etcd", "internal/api", m + "/internal/embedetcd", "only cmd/"},
		{"provision knows the api", "internal/provision", m + "/internal/api", "is above"},
		{"the benchmark knows a task", "internal/bench", m + "/pkg/task", "pkg/lease only"},
		{"etcd's server elsewhere", "pkg/lease", "go.etcd.io/etcd/server/v3/embed", "client/v3"},
		{"etcd's server in cmd", "cmd/conductor", "go.etcd.io/etcd/server/v3/etcdserver", "client/v3"},
		{"the fake in the daemon", "cmd/conductor", m + "/pkg/hardware/hardwaretest", "for tests only"},
		{"leasetest in the task", "pkg/task", m + "/pkg/lease/leasetest", "for tests only"},
		{"testing in the task", "pkg/task", "testing", "only tests"},
		{"synctest in the daemon", "internal/api", "testing/synctest", "only tests"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			graph := maps.Clone(good)
			from := m + "/" + tt.from
			graph[from] = append(slices.Clone(graph[from]), tt.imp)
			var packages []goPackage
			for _, p := range slices.Sorted(maps.Keys(graph)) {
				packages = append(packages, goPackage{ImportPath: p, Imports: graph[p]})
			}
			got := checkImports(m, packages)
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("complaints about a clean house: %q", got)
			case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want) || !strings.Contains(got[0], tt.from)):
				t.Errorf("got %q, want one complaint about %s that says %q", got, tt.from, tt.want)
			}
		})
	}
}

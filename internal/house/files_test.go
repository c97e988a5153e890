package house

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// drawers are names that say nothing of what is inside. A helper lives beside
// its only user.
var drawers = []string{"util", "utils", "common", "types", "helper", "helpers", "base"}

// ofOneMachine finds paths that exist on somebody's machine only.
var ofOneMachine = regexp.MustCompile(`(^|[^\w.:/-])/(home|root|work|Users)/[\w.]`)

func TestFiles(t *testing.T) {
	for _, complaint := range checkFiles(os.DirFS(root(t)), tracked(t)) {
		t.Error(complaint)
	}
}

// root is the directory of the module.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatalf("the module should be two directories up: %v", err)
	}
	return dir
}

// tracked returns the files under version control. The tree is walked too, so
// that go test sees the directories change and does not answer from its cache.
// Without git all files that were found are taken.
func tracked(t *testing.T) []string {
	t.Helper()
	tree := os.DirFS(root(t))
	var files []string
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", "bin", "data"}, name) {
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("git", "ls-files", "-z")
	list.Dir = root(t)
	out, err := list.Output()
	if err != nil {
		t.Logf("not a git checkout (%v): looking at all files", err)
		return files
	}
	known := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	return slices.DeleteFunc(files, func(f string) bool { return !slices.Contains(known, f) })
}

// checkFiles returns a complaint for each rule that a file breaks.
func checkFiles(tree fs.FS, files []string) []string {
	var complaints []string
	tests := map[string][]byte{}
	complain := func(format string, args ...any) {
		complaints = append(complaints, fmt.Sprintf(format, args...))
	}
	for _, name := range files {
		for dir := range strings.SplitSeq(path.Dir(name), "/") {
			if slices.Contains(drawers, dir) {
				complain("%s: a directory called %s says nothing; name it after its one idea", name, dir)
			}
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			complain("%v", err)
			continue
		}
		if bytes.IndexByte(text, 0) >= 0 {
			continue // a picture or the like
		}
		for i, line := range strings.Split(string(text), "\n") {
			if ofOneMachine.MatchString(line) {
				complain("%s:%d: a path of one machine: %s", name, i+1, strings.TrimSpace(line))
			}
		}
		if strings.HasSuffix(name, "_test.go") && !within(name, "test/e2e") {
			tests[name] = text
		}
	}
	for _, where := range sleeps(tests) {
		complain("%s: time.Sleep in a test outside of a synctest bubble: wait for what should happen", where)
	}
	return complaints
}

// sleeps returns where test files call time.Sleep in vain. It is allowed in a
// file that uses testing/synctest, in whose bubbles it costs nothing; and in a
// loop, as the pause between two looks, if another file of that directory uses
// synctest: then it is a contract that is tested in a bubble and for real. What
// is given to a function that does nothing but enter a bubble is in the bubble.
func sleeps(tests map[string][]byte) []string {
	fset := token.NewFileSet()
	files, bubbles := map[string]*ast.File{}, map[string]bool{}
	for name, text := range tests {
		file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			continue // the compiler says it better
		}
		files[name] = file
		for _, imp := range file.Imports {
			if imp.Path.Value == `"testing/synctest"` {
				bubbles[path.Dir(name)], bubbles[name] = true, true
			}
		}
	}
	enter := map[string]bool{} // directory/function
	for name, file := range files {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && entersBubble(f) {
				enter[path.Join(path.Dir(name), f.Name.Name)] = true
			}
		}
	}
	var where []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if bubbles[name] {
			continue
		}
		ast.Inspect(files[name], func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ForStmt:
				return !bubbles[path.Dir(name)]
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && enter[path.Join(path.Dir(name), f.Name)] {
					return false
				}
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "time" && n.Sel.Name == "Sleep" {
					where = append(where, fset.Position(n.Pos()).String())
				}
			}
			return true
		})
	}
	return where
}

// entersBubble says whether the last thing that a function does is synctest.Test.
func entersBubble(f *ast.FuncDecl) bool {
	if f.Body == nil || len(f.Body.List) == 0 {
		return false
	}
	last, ok := f.Body.List[len(f.Body.List)-1].(*ast.ExprStmt)
	if !ok {
		return false
	}
	call, ok := last.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return ok && pkg.Name == "synctest" && sel.Sel.Name == "Test"
}

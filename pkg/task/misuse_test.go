package task_test

import (
	"bytes"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMisuse compiles the programs of testdata/misuse. Each says in a comment "// want: text" what
// the compiler must have against it; good.go says nothing and has to compile, or the rest would
// prove nothing.
func TestMisuse(t *testing.T) {
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", exports(t))
	files, err := filepath.Glob("testdata/misuse/*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("programs: %v, %v", files, err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			cfg := types.Config{Importer: imports, Error: func(err error) { got = append(got, err.Error()) }}
			cfg.Check("main", fset, []*ast.File{f}, nil) // what it returns is the first of got
			want := wants(f)
			if none := len(want) == 0; none != (filepath.Base(name) == "good.go") {
				t.Fatalf("wants %d complaints", len(want))
			}
			if len(got) != len(want) {
				t.Fatalf("the compiler says:\n%s\nwant %d complaints", strings.Join(got, "\n"), len(want))
			}
			for i, w := range want {
				if !strings.Contains(got[i], w) {
					t.Errorf("the compiler says: %s\nwant: %s", got[i], w)
				}
			}
		})
	}
}

// wants are the "// want:" comments of a program, in order.
func wants(f *ast.File) []string {
	var all []string
	for _, group := range f.Comments {
		for _, c := range group.List {
			if text, ok := strings.CutPrefix(c.Text, "// want: "); ok {
				all = append(all, text)
			}
		}
	}
	return all
}

// exports finds what the compiler knows of the packages that the programs import.
func exports(t *testing.T) importer.Lookup {
	t.Helper()
	list := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}", ".")
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		files[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
}

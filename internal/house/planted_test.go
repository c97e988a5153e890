package house

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// The checker itself: it must find what is planted, and nothing else.
func TestFilesCheckerFindsWhatIsPlanted(t *testing.T) {
	const sleeping = "package p\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n"
	// Put together here, since this file is checked as well.
	home, work := "/ho"+"me/ann/x", "/wo"+"rk/x"
	tests := []struct {
		name, file, text, want string
	}{
		{"a clean file", "pkg/node/node.go", "package node\n", ""},
		{"a drawer", "internal/util/strings.go", "package util\n", "directory called util"},
		{"a drawer deeper down", "pkg/node/types/x/y.go", "package x\n", "directory called types"},
		{"a file may be called so", "pkg/node/types.go", "package node\n", ""},
		{"a home directory", "docs/use.md", "one\nsee " + home + " there\n", "docs/use.md:2"},
		{"a path at the start of a line", ".ci/run", work + "\n", ".ci/run:1"},
		{"a quoted path", "a.go", "x := \"" + work + "\"\n", "a.go:1"},
		{"part of a URL", "docs/use.md", "https://example.org" + work + "\n", ""},
		{"part of a longer path", "docs/use.md", "/srv" + work + "\n", ""},
		{"a picture", "docs/a.png", "\x00" + work, ""},
		{"a sleeping test", "pkg/node/a_test.go", sleeping, "a_test.go:5"},
		{"sleeping, but no test", "pkg/node/a.go", sleeping, ""},
		{"sleeping in a bubble", "pkg/node/a_test.go", strings.Replace(sleeping, "import \"time\"", "import (\n\"testing/synctest\"\n\"time\"\n)", 1), ""},
		{"sleeping between processes", "test/e2e/a_test.go", sleeping, ""},
		{"sleeping in words only", "pkg/node/a_test.go", "package p\n\n// Never time.Sleep here.\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := fstest.MapFS{tt.file: {Data: []byte(tt.text)}}
			got := checkFiles(tree, slices.Collect(maps.Keys(tree)))
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("complaints about a clean file: %q", got)
			case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
				t.Errorf("got %q, want one complaint that says %q", got, tt.want)
			}
		})
	}
}

// Whether a sleep is in vain can depend on the other files of its directory.
func TestSleepsBesideABubble(t *testing.T) {
	const bubble = "package p\n\nimport \"testing/synctest\"\n\nfunc in(f func()) {\nsynctest.Test(nil, f)\n}\nfunc both(f func()) {\nsynctest.Test(nil, f)\nf()\n}\n"
	const polling = "package p\n\nimport \"time\"\n\nfunc f(ok func() bool) {\nfor !ok() {\ntime.Sleep(1)\n}\n}\n"
	const sleeping = "package p\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n"
	const given = "package p\n\nimport \"time\"\n\nfunc f() {\n%s(func() { time.Sleep(1) })\n}\n"
	tests := []struct {
		name, beside, text string
		want               int
	}{
		{"polling beside a bubble", "p/bubble_test.go", polling, 0},
		{"sleeping beside a bubble", "p/bubble_test.go", sleeping, 1},
		{"polling, the bubble is elsewhere", "q/bubble_test.go", polling, 1},
		{"sleeping in a bubble that another file enters", "p/bubble_test.go", fmt.Sprintf(given, "in"), 0},
		{"sleeping in what is run in a bubble and without", "p/bubble_test.go", fmt.Sprintf(given, "both"), 1},
		{"sleeping in a bubble of another directory", "q/bubble_test.go", fmt.Sprintf(given, "in"), 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := sleeps(map[string][]byte{tt.beside: []byte(bubble), "p/a_test.go": []byte(tt.text)})
			if len(got) != tt.want {
				t.Errorf("got %q, want %d complaints", got, tt.want)
			}
		})
	}
}

package task_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	row  = regexp.MustCompile(`^\| (\d+) \| [^|]+ \| (.*) \|$`)
	name = regexp.MustCompile("`(Test\\w+)(?:/([^`]+))?`")
)

// TestIronicIsComplete reads docs/ironic.md: each of the 53 behaviours of Ironic's tests is shown
// by a test that exists, or the table says why it cannot exist here.
func TestIronicIsComplete(t *testing.T) {
	page, err := os.ReadFile("../../docs/ironic.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := sources(t)
	next := 1
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		for _, m := range name.FindAllStringSubmatch(line, -1) {
			if !tests.have(m[1], m[2]) {
				t.Errorf("no such test: %s/%s", m[1], m[2])
			}
		}
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if n, _ := strconv.Atoi(m[1]); n != next {
			t.Errorf("after row %d comes %d", next-1, n)
		}
		shown := name.FindAllStringSubmatch(m[2], -1)
		if len(shown) == 0 && !strings.HasPrefix(m[2], "cannot exist: ") {
			t.Errorf("row %d names no test and does not say why there cannot be one", next)
		}
		for _, s := range shown {
			number := strings.HasPrefix(s[1], "TestIronic")
			if number && !strings.HasPrefix(s[2], m[1]+"_") && !strings.HasPrefix(s[2], "0"+m[1]+"_") {
				t.Errorf("row %d names test %s of another number", next, s[2])
			}
		}
		next++
	}
	if next != 54 {
		t.Errorf("the table ends with %d, want 53 rows", next-1)
	}
	for _, number := range regexp.MustCompile(`"(\d\d)_`).FindAllStringSubmatch(string(tests), -1) {
		if n, _ := strconv.Atoi(number[1]); n < 1 || n > 53 {
			t.Errorf("a test has number %d, which Ironic has not", n)
		}
	}
}

// sourceText is all tests of the package.
type sourceText string

func sources(t *testing.T) sourceText {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return sourceText(all.String())
}

// have reports whether a test, and a part of it, exist. Names that are put together are known by
// their pieces.
func (s sourceText) have(test, part string) bool {
	if !strings.Contains(string(s), "func "+test+"(t *testing.T)") {
		return false
	}
	number, dir, corrupt := strings.Cut(part, "_corrupt_")
	switch {
	case test == "TestMisuse":
		_, err := os.Stat("testdata/misuse/" + part)
		return err == nil
	case corrupt:
		return strings.Contains(string(s), `"`+number+`": "`+dir+`"`)
	}
	before, after, joined := strings.Cut(part, ": ")
	if joined {
		return strings.Contains(string(s), `"`+before+`: "+`) && strings.Contains(string(s), `"`+after+`"`)
	}
	return strings.Contains(string(s), `"`+part)
}

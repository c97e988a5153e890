package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

var faultsGoTo = flag.String("faults", "", `what becomes of the rows of faults that the tests measured: "table" prints them, "docs" puts them into docs/faults.md`)

// row is a fault and what came of it.
type row struct{ fault, mustHold, run, measured string }

var faultRows struct {
	sync.Mutex
	rows    []row
	counted map[*testing.T]bool
	runs    map[string]tally // by test
}

// tally counts the runs of a test.
type tally struct{ passed, all int }

// faultRow reports what a test of a fault measured: one row of the table in
// docs/faults.md. Of several runs the last one's numbers stand there, and how many
// passed. The texts are Markdown of one line.
func faultRow(t *testing.T, fault, mustHold, measured string) {
	t.Helper()
	t.Logf("%s: %s", fault, measured)
	countRun(t)
	faultRows.Lock()
	defer faultRows.Unlock()
	faultRows.rows = append(faultRows.rows, row{fault, mustHold, t.Name(), measured})
}

// countRun has this run of a test counted, once, however it ends.
func countRun(t *testing.T) {
	faultRows.Lock()
	defer faultRows.Unlock()
	if faultRows.counted == nil {
		faultRows.counted, faultRows.runs = map[*testing.T]bool{}, map[string]tally{}
	}
	if faultRows.counted[t] {
		return
	}
	faultRows.counted[t] = true
	t.Cleanup(func() {
		faultRows.Lock()
		defer faultRows.Unlock()
		n := faultRows.runs[t.Name()]
		if n.all++; !t.Failed() {
			n.passed++
		}
		faultRows.runs[t.Name()] = n
	})
}

// line is the row as Markdown.
func (r row) line(n tally) string {
	return fmt.Sprintf("| %s | %s | `%s` | %d of %d | %s |", r.fault, r.mustHold, r.run, n.passed, n.all, r.measured)
}

// key is what a line of the table has of its own: its fault and its test.
func key(line string) (fault, test string) {
	cells := strings.Split(line, " | ")
	if len(cells) < 3 {
		return line, ""
	}
	return cells[0], strings.Trim(cells[2], "`")
}

const tableHead = "| fault | what must hold | how to repeat it: `-run` | passed | measured, in the last run |\n|---|---|---|---|---|"

// mergeTable puts the rows in the place of those lines that tell of the same fault
// and the same test, and the rest at the end. Lines of tests that did not run stay.
func mergeTable(old string, rows []row, runs map[string]tally) string {
	lines := strings.Split(strings.TrimSpace(old), "\n")
	lines = append([]string{tableHead}, lines[min(2, len(lines)):]...)
	fresh := map[string]bool{}
	for _, r := range rows {
		line := r.line(runs[r.run])
		fresh[line] = true
		at := slices.IndexFunc(lines, func(l string) bool {
			fault, test := key(l)
			return test == r.run && fault == "| "+r.fault
		})
		if at < 0 {
			lines = append(lines, line)
			continue
		}
		lines[at] = line
	}
	lines = slices.DeleteFunc(lines, func(l string) bool {
		_, test := key(l)
		_, ran := runs[test]
		return ran && !fresh[l]
	})
	return strings.Join(lines, "\n")
}

var faultTable = regexp.MustCompile(`(?s)(<!-- faults: [^\n]*-->\n)(.*?)(\n<!-- end of faults -->)`)

// reportFaults does with the rows what -faults says. Only a run that passed gets into the docs.
func reportFaults(passed bool) error {
	switch *faultsGoTo {
	case "":
	case "table":
		fmt.Println(mergeTable("", faultRows.rows, faultRows.runs))
	case "docs":
		if !passed {
			return fmt.Errorf("-faults=docs: the tests failed, docs/faults.md stays as it is")
		}
		path := filepath.Join(repository, "docs", "faults.md")
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		m := faultTable.FindSubmatchIndex(text)
		if m == nil {
			return fmt.Errorf("%s has no table between its two comments", path)
		}
		table := mergeTable(string(text[m[4]:m[5]]), faultRows.rows, faultRows.runs)
		return os.WriteFile(path, slices.Concat(text[:m[4]], []byte(table), text[m[5]:]), 0o644)
	default:
		return fmt.Errorf(`-faults=%s: want "table" or "docs"`, *faultsGoTo)
	}
	return nil
}

func TestFaultTable(t *testing.T) {
	old := tableHead + "\n" +
		"| a kill | it works | `TestA` | 1 of 1 | 1 s |\n" +
		"| a cut | it works | `TestB/x` | 1 of 1 | 2 s |\n" +
		"| a cut, as it was named once | it works | `TestB/x` | 1 of 1 | 2 s |\n" +
		"| a cut | it works | `TestB/y` | 1 of 1 | 3 s |"
	rows := []row{
		{"a cut", "it works well", "TestB/x", "7 s"},
		{"a storm", "it works", "TestC", "8 s"},
		{"a cut", "it works well", "TestB/x", "9 s"},
	}
	want := tableHead + "\n" +
		"| a kill | it works | `TestA` | 1 of 1 | 1 s |\n" +
		"| a cut | it works well | `TestB/x` | 2 of 2 | 9 s |\n" +
		"| a cut | it works | `TestB/y` | 1 of 1 | 3 s |\n" +
		"| a storm | it works | `TestC` | 0 of 1 | 8 s |"
	runs := map[string]tally{"TestB/x": {2, 2}, "TestC": {0, 1}}
	if got := mergeTable(old, rows, runs); got != want {
		t.Errorf("merged:\n%s\nwant:\n%s", got, want)
	}
	if got := mergeTable("", rows[:1], runs); got != tableHead+"\n| a cut | it works well | `TestB/x` | 2 of 2 | 7 s |" {
		t.Errorf("the first row:\n%s", got)
	}
	text, err := os.ReadFile(filepath.Join(repository, "docs", "faults.md"))
	if err != nil {
		t.Fatal(err)
	}
	if m := faultTable.FindSubmatch(text); m == nil || !strings.HasPrefix(string(m[2]), tableHead) {
		t.Error("docs/faults.md has no table for -faults=docs to fill")
	}
}

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// ironic is the command "baremetal" of python3-ironicclient, as Debian has it,
// against one conductor.
type ironic struct {
	t    *testing.T
	say  func(args ...string) result // runs it
	kept map[string]string
}

// typed is a line of a script: what is typed after "baremetal", and what comes of it.
type typed struct {
	line string
	want string // JSON that the output, in JSON, must have; "": it does not matter
	fail string // what it complains of, with exit code 1; "": it must succeed
	keep string // what "$" and this stand for from then on: the uuid in the output
	wait bool   // again and again, until it is as wanted
}

func clientEnvironment(url string) []string {
	return []string{"OS_AUTH_TYPE=none", "OS_ENDPOINT=" + url, "PYTHONWARNINGS=ignore"}
}

// processes runs each line as a process, as users do.
func processes(t *testing.T, url string) ironic {
	path := program(t, "baremetal")
	return ironic{t, func(args ...string) result {
		t.Helper()
		return run(t, clientEnvironment(url), path, args...)
	}, map[string]string{}}
}

// ironicLoop runs the command again and again in one process, for it takes a
// second to start.
const ironicLoop = `
import contextlib, io, json, logging, sys
from ironicclient.shell import main
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(json.loads(line))
        except SystemExit as e:
            code = e.code
    root = logging.getLogger()
    for h in root.handlers[:]:
        root.removeHandler(h)
    print(json.dumps({"code": code or 0, "out": out.getvalue(), "err": err.getvalue()}), flush=True)
`

// loop runs all lines in one process, with the same program.
func loop(t *testing.T, url string) ironic {
	t.Helper()
	p := start(t, "baremetal", clientEnvironment(url), interpreter(t, program(t, "baremetal")), "-c", ironicLoop)
	asked := 0
	return ironic{t, func(args ...string) result {
		t.Helper()
		data, err := json.Marshal(args)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(p.stdin, "%s\n", data)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		answer, _, err := p.out.next(ctx, asked, func(string) bool { return true })
		if err != nil {
			t.Fatalf("baremetal %s: %v", strings.Join(args, " "), err)
		}
		asked++
		var r struct {
			Code     int
			Out, Err string
		}
		if err := json.Unmarshal([]byte(answer), &r); err != nil {
			t.Fatalf("baremetal %s: %v in %s", strings.Join(args, " "), err, answer)
		}
		return result{r.Code, r.Out, r.Err}
	}, map[string]string{}}
}

// interpreter is the one that a script names in its first line.
func interpreter(t *testing.T, script string) string {
	t.Helper()
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	first, err := bufio.NewReader(bytes.NewReader(text)).ReadString('\n')
	path, ok := strings.CutPrefix(strings.TrimSpace(first), "#!")
	if err != nil || !ok {
		t.Fatalf("%s names no interpreter: %s", script, first)
	}
	return strings.TrimSpace(path)
}

// script types lines one after the other.
func (i ironic) script(lines []typed) {
	i.t.Helper()
	for _, l := range lines {
		if !l.wait {
			if err := i.typed(l); err != nil {
				i.t.Fatalf("baremetal %s: %v", l.line, err)
			}
			continue
		}
		eventually(i.t, 20*time.Second, "baremetal "+l.line, func() error { return i.typed(l) })
	}
}

func (i ironic) typed(l typed) error {
	i.t.Helper()
	for name, value := range i.kept {
		l.line, l.want = strings.ReplaceAll(l.line, "$"+name, value), strings.ReplaceAll(l.want, "$"+name, value)
	}
	args := strings.Fields(l.line)
	if l.want != "" {
		args = append(args, "-f", "json")
	}
	r := i.say(args...)
	switch {
	case l.fail != "":
		if r.code != 1 || !strings.Contains(r.err, l.fail) {
			return fmt.Errorf("%s, want exit code 1 and %q", r, l.fail)
		}
		return nil
	case r.code != 0:
		return fmt.Errorf("%s", r)
	case l.want == "":
		return nil
	}
	var got, want any
	if err := json.Unmarshal([]byte(l.want), &want); err != nil {
		return fmt.Errorf("the test wants %s: %w", l.want, err)
	}
	if err := json.Unmarshal([]byte(r.out), &got); err != nil {
		return fmt.Errorf("%w in %s", err, r)
	}
	if where := differs("", got, want); where != "" {
		return fmt.Errorf("%s: want %s in %s", where, l.want, r)
	}
	if l.keep != "" {
		i.kept[l.keep] = uuidIn(got)
	}
	return nil
}

// uuidIn finds the uuid of a record, or of the first one of a list.
func uuidIn(output any) string {
	switch v := output.(type) {
	case []any:
		id, _ := v[0].(map[string]any)["UUID"].(string)
		return id
	case map[string]any:
		id, _ := v["uuid"].(string)
		return id
	}
	return ""
}

// differs says where got does not have what want has: every key of an object,
// every element of a list and no other, and the same values; "" if it has it all.
func differs(where string, got, want any) string {
	switch want := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return where + " is no object"
		}
		for key, w := range want {
			v, ok := g[key]
			if !ok {
				return where + "." + key + " is missing"
			}
			if at := differs(where+"."+key, v, w); at != "" {
				return at
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(want) {
			return where + " is no list of that length"
		}
		for n, w := range want {
			if !slices.ContainsFunc(g, func(v any) bool { return differs("", v, w) == "" }) {
				return fmt.Sprintf("%s[%d] is missing", where, n)
			}
		}
		return ""
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Sprintf("%s is %v", where, got)
	}
	return ""
}

func TestDiffers(t *testing.T) {
	for _, c := range []struct {
		got, want string
		same      bool
	}{
		{`{"a":1,"b":2}`, `{"a":1}`, true},
		{`{"a":1}`, `{"a":2}`, false},
		{`{"a":1}`, `{"b":null}`, false},
		{`{"a":null}`, `{"a":null}`, true},
		{`[{"a":1},{"a":2}]`, `[{"a":2},{"a":1}]`, true},
		{`[{"a":1},{"a":2}]`, `[{"a":1}]`, false},
		{`[]`, `[]`, true},
		{`{}`, `[]`, false},
	} {
		var got, want any
		if json.Unmarshal([]byte(c.got), &got) != nil || json.Unmarshal([]byte(c.want), &want) != nil {
			t.Fatal(c)
		}
		if where := differs("", got, want); (where == "") != c.same {
			t.Errorf("%s in %s: %q", c.want, c.got, where)
		}
	}
}

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clockProgram is a conductor whose wall clock alone can be set: its package time
// has one more line in Now, put there when it is built, from the file of the Go in
// use. Where the standard library was never built so, that takes a minute or two.
var clockProgram = &built{pkg: "./cmd/conductor", as: "conductor-clock", flags: overlayClock}

// overlayClock writes what go build is to take for the files of package time.
func overlayClock() ([]string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	text, err := os.ReadFile(filepath.Join(dir, "time.go"))
	if err != nil {
		return nil, err
	}
	const now = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	changed := strings.Replace(string(text), now, now+"\tsec += shifted.Load()\n", 1)
	if changed == string(text) {
		return nil, fmt.Errorf("time.Now of this Go does not begin with %q: change overlayClock", now)
	}
	file := filepath.Join(scratch, "time.go")
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		return nil, err
	}
	added, err := filepath.Abs(filepath.Join("testdata", "clock", "shift.go"))
	if err != nil {
		return nil, err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(dir, "time.go"): file, filepath.Join(dir, "shift.go"): added,
	}})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(scratch, "overlay.json")
	return []string{"-overlay", path}, os.WriteFile(path, overlay, 0o600)
}

// clock is the wall clock of one conductor.
type clock struct {
	t    *testing.T
	file string
}

func newClock(t *testing.T) *clock {
	t.Helper()
	c := &clock{t, filepath.Join(t.TempDir(), "clock")}
	c.set(0)
	return c
}

// set makes the clock wrong by some time, at once.
func (c *clock) set(wrong time.Duration) {
	c.t.Helper()
	text := fmt.Sprintln(int(wrong.Seconds()))
	if err := os.WriteFile(c.file+".new", []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(c.file+".new", c.file); err != nil {
		c.t.Fatal(err)
	}
}

func (c *clock) env() []string { return []string{"WALL_CLOCK_FILE=" + c.file} }

// shows waits until a conductor's answers are dated as its clock is wrong.
func (c *conductor) shows(wrong time.Duration) {
	c.t.Helper()
	eventually(c.t, 5*time.Second, fmt.Sprintf("the clock of %s is wrong by %s", c.host, wrong), func() error {
		r, err := quick.Get(c.url + "/healthz")
		if err != nil {
			return err
		}
		r.Body.Close()
		at, err := http.ParseTime(r.Header.Get("Date"))
		if err == nil && (time.Until(at)-wrong).Abs() > time.Minute {
			err = fmt.Errorf("it says %s", at)
		}
		return err
	})
}

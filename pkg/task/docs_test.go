package task_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/conductor-metal/conductor/pkg/task"
)

// docs/events.md names each type there is, no other, and shows each as it is written.
func TestDocumentOfEvents(t *testing.T) {
	text, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("^\\| `((?:baremetal|conductor)\\.[a-z_.]+)` \\|")
	var named, shown []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if m := row.FindStringSubmatch(line); m != nil {
			named = append(named, m[1])
		}
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var n task.Notification
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&n); err != nil {
			t.Errorf("%v in %s", err, line)
			continue
		}
		if again, err := json.Marshal(n); err != nil || !bytes.Equal(again, []byte(line)) {
			t.Errorf("shown is\n%s\nand written\n%s (%v)", line, again, err)
		}
		if strings.Contains(n.Text(), "unknown") || n.Text() == n.Type {
			t.Errorf("%s: text %q", n.Type, n.Text())
		}
		shown = append(shown, n.Type)
	}
	for what, got := range map[string][]string{"named": named, "shown": shown} {
		slices.Sort(got)
		if want := task.Types(); !slices.Equal(got, want) {
			t.Errorf("%s are\n%q\nwant\n%q", what, got, want)
		}
	}
}

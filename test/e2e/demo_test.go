package e2e

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The demonstration shows a kill and a freeze, finds no violation, and leaves nothing running.
func TestDemo(t *testing.T) {
	need(t)
	t.Parallel()
	begun := time.Now()
	r := start(t, "demo", nil, conductorProgram.get(t), "demo").finish(3 * time.Minute)
	if r.code != 0 {
		t.Fatalf("demo: %s", r)
	}
	for _, want := range []string{"c2 is killed", "others had all", "died or lost the lock", "c3 thaws", "no violation"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("the demo does not say %q: %s", want, r)
		}
	}
	t.Logf("took %s", time.Since(begun).Round(time.Second))
}

// A demonstration that is killed takes its conductors along.
func TestDemoKilled(t *testing.T) {
	need(t)
	t.Parallel()
	p := start(t, "demo", nil, conductorProgram.get(t), "demo", "--dir", t.TempDir())
	url := regexp.MustCompile(`http://\S+`).FindString(p.line(p.out, "c3 ", 40*time.Second))
	if r, err := http.Get(url + "/v1"); err != nil {
		t.Fatal(err)
	} else {
		r.Body.Close()
	}
	p.kill()
	eventually(t, 10*time.Second, "the conductor at "+url+" is gone", func() error {
		r, err := http.Get(url + "/v1")
		if err != nil {
			return nil
		}
		r.Body.Close()
		return errors.New("it answers")
	})
}

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// holder is a process of the program of that name, which takes locks as a
// conductor does and does as it is told.
type holder struct {
	*process
	host string
	read map[string]int // how far each kind of event has been read
}

// said is what a holder tells.
type said struct {
	Event     string
	At        time.Time
	Name      string
	Session   string
	Ticket    string
	Key       string
	Mode      string
	Token     int64
	Abandoned string
	N         int
	Seconds   float64
	Bytes     int64
	Err       string
	Lost      bool
	Values    map[string]float64
}

func startHolder(t *testing.T, endpoints, host string, args ...string) *holder {
	t.Helper()
	args = append([]string{"-endpoints", endpoints, "-host", host}, args...)
	h := &holder{process: start(t, "holder "+host, nil, holderProgram.get(t), args...), host: host, read: map[string]int{}}
	h.hear("open", 20*time.Second)
	return h
}

func (h *holder) tell(format string, args ...any) {
	h.t.Helper()
	if _, err := fmt.Fprintf(h.stdin, format+"\n", args...); err != nil {
		h.t.Fatalf("%s does not listen: %v", h.name, err)
	}
}

// hear waits for the next event of a kind.
func (h *holder) hear(kind string, limit time.Duration) said {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), limit)
	defer cancel()
	var s said
	_, at, err := h.out.next(ctx, h.read[kind], func(line string) bool {
		s = said{}
		return json.Unmarshal([]byte(line), &s) == nil && (s.Event == kind || s.Event == "error")
	})
	if err != nil {
		h.t.Fatalf("%s: no %q within %s: %v", h.name, kind, limit, err)
	}
	if s.Event != kind {
		h.t.Fatalf("%s: %s: %s, while waiting for %q", h.name, s.Name, s.Err, kind)
	}
	h.read[kind] = at + 1
	return s
}

// lock takes a lock and waits until it is held.
func (h *holder) lock(name, mode string) said {
	h.t.Helper()
	h.tell("lock %s %s -1 test of %s", name, mode, h.host)
	return h.hear("acquired", 20*time.Second)
}

// close ends the session in order.
func (h *holder) close() {
	h.t.Helper()
	h.tell("close")
	if code := h.exit(15 * time.Second); code != 0 {
		h.t.Errorf("%s closed with exit code %d", h.name, code)
	}
}

// metrics returns the sums of the holder's metrics.
func (h *holder) metrics() map[string]float64 {
	h.t.Helper()
	h.tell("metrics")
	return h.hear("metrics", 5*time.Second).Values
}

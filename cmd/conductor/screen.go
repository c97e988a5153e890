package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress is how far something is.
type progress struct {
	what string // the state, and the step within it
	time time.Duration
}

func (p progress) String() string { return p.what + ", " + short(p.time) }

// screen shows the progress of several things: on a terminal one line for each
// that runs, redrawn in place below the lines of those that have ended, and
// elsewhere a line for each change.
type screen struct {
	w    io.Writer
	live bool // a terminal

	mu    sync.Mutex
	order []string // of what runs
	last  map[string]progress
	drawn int // lines that are redrawn
}

func newScreen(w io.Writer) *screen {
	return &screen{w: w, live: terminal(w), last: map[string]progress{}}
}

// show tells how far a thing is.
func (s *screen) show(name string, p progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.last[name]
	if !known {
		s.order = append(s.order, name)
	}
	s.last[name] = p
	switch {
	case s.live:
		s.draw("")
	case !known || before.what != p.what:
		fmt.Fprintf(s.w, "%s: %s\n", name, printable(p.String(), false))
	}
}

// end takes a thing away and says what became of it, if there is something to say.
func (s *screen) end(name, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.last[name]; known {
		delete(s.last, name)
		for i, n := range s.order {
			if n == name {
				s.order = append(s.order[:i:i], s.order[i+1:]...)
				break
			}
		}
	}
	if text != "" {
		text = printable(text, false) + "\n"
	}
	if s.drawn > 0 {
		s.draw(text)
		return
	}
	_, _ = io.WriteString(s.w, text)
}

// draw writes text where the lines were, and the lines below it.
func (s *screen) draw(text string) {
	var lines []string
	for _, name := range s.order {
		lines = append(lines, printable(name+": "+s.last[name].String(), false))
	}
	_, _ = io.WriteString(s.w, frame(s.drawn, text, lines))
	s.drawn = len(lines)
}

// frame is what a terminal is told: go up over the lines that were drawn, erase
// all from there on, write what stays and then the lines. These do not wrap, for
// then they would be more than were counted.
func frame(drawn int, stays string, lines []string) string {
	var b strings.Builder
	if drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", drawn)
	}
	b.WriteString("\r\x1b[J")
	b.WriteString(stays)
	if len(lines) > 0 {
		b.WriteString("\x1b[?7l" + strings.Join(lines, "\n") + "\n\x1b[?7h")
	}
	return b.String()
}

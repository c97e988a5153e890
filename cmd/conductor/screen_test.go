package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tube is a terminal as far as frame uses one, without an end of lines.
type tube struct {
	t     *testing.T
	lines []string
	row   int
	wraps bool
}

func newTube(t *testing.T) *tube { return &tube{t: t, lines: []string{""}, wraps: true} }

// Write shows what is written.
func (u *tube) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		switch {
		case strings.HasPrefix(text, "\x1b["):
			end := strings.IndexAny(text, "ABCDJKhlm")
			u.command(text[2:end], text[end])
			text = text[end+1:]
		case text[0] == '\r':
			text = text[1:]
		case text[0] == '\n':
			u.row++
			if u.row == len(u.lines) {
				u.lines = append(u.lines, "")
			}
			text = text[1:]
		default:
			n := strings.IndexAny(text+"\n", "\x1b\r\n")
			u.lines[u.row] += text[:n]
			if len(u.lines[u.row]) > 80 && u.wraps {
				u.t.Errorf("%q wraps: the lines are no longer those that were counted", u.lines[u.row])
			}
			text = text[n:]
		}
	}
	return len(p), nil
}

func (u *tube) command(arg string, what byte) {
	switch what {
	case 'A':
		n, err := strconv.Atoi(arg)
		if err != nil || n > u.row {
			u.t.Fatalf("up by %q from row %d", arg, u.row)
		}
		u.row -= n
	case 'J':
		u.lines = append(u.lines[:u.row:u.row], "")
	case 'h', 'l':
		u.wraps = what == 'h'
	default:
		u.t.Fatalf("a command %q%c that the tube does not know", arg, what)
	}
}

func (u *tube) String() string { return strings.Join(u.lines, "\n") }

func TestScreenOnATerminal(t *testing.T) {
	u := newTube(t)
	s := newScreen(u)
	s.live = true
	check := func(want string) {
		t.Helper()
		if got := u.String(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if !u.wraps {
			t.Error("lines do not wrap any more")
		}
	}
	s.show("n1", progress{"cleaning", 0})
	check("n1: cleaning, 0s\n")
	s.show("n2", progress{strings.Repeat("x", 100), time.Second})
	check("n1: cleaning, 0s\nn2: " + strings.Repeat("x", 100) + ", 1s\n")
	s.show("n1", progress{"cleaning, step 1 of 2: deploy.erase", time.Minute})
	s.show("n3", progress{"bad\nname\x1b[31m", 0})
	check("n1: cleaning, step 1 of 2: deploy.erase, 1m00s\nn2: " + strings.Repeat("x", 100) + ", 1s\nn3: bad name [31m, 0s\n")
	s.end("n2", "n2: available after 2s")
	check("n2: available after 2s\nn1: cleaning, step 1 of 2: deploy.erase, 1m00s\nn3: bad name [31m, 0s\n")
	s.end("n4", "n4: not found")
	check("n2: available after 2s\nn4: not found\nn1: cleaning, step 1 of 2: deploy.erase, 1m00s\nn3: bad name [31m, 0s\n")
	s.end("n3", "")
	s.end("n1", "n1: done")
	s.end("n5", "n5: done")
	check("n2: available after 2s\nn4: not found\nn1: done\nn5: done\n")
}

func TestScreenElsewhere(t *testing.T) {
	var b bytes.Buffer
	s := newScreen(&b)
	for i := range 5 {
		s.show("n1", progress{"cleaning", time.Duration(i) * time.Second})
	}
	s.show("n1", progress{"clean wait", 5 * time.Second})
	s.show("n2", progress{"cleaning", 6 * time.Second})
	s.end("n1", "n1: available after 7s")
	s.end("n2", "")
	want := "n1: cleaning, 0s\nn1: clean wait, 5s\nn2: cleaning, 6s\nn1: available after 7s\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant a line for each change:\n%s", &b, want)
	}
}

func TestFrame(t *testing.T) {
	for _, c := range []struct {
		drawn int
		stays string
		lines []string
		want  string
	}{
		{0, "", []string{"a"}, "\r\x1b[J\x1b[?7la\n\x1b[?7h"},
		{1, "", []string{"a", "b"}, "\x1b[1A\r\x1b[J\x1b[?7la\nb\n\x1b[?7h"},
		{2, "done\n", []string{"b"}, "\x1b[2A\r\x1b[Jdone\n\x1b[?7lb\n\x1b[?7h"},
		{1, "done\n", nil, "\x1b[1A\r\x1b[Jdone\n"},
	} {
		if got := frame(c.drawn, c.stays, c.lines); got != c.want {
			t.Errorf("%d, %q, %q: got %q, want %q", c.drawn, c.stays, c.lines, got, c.want)
		}
	}
}

func TestProgress(t *testing.T) {
	if got := fmt.Sprint(progress{"deploying", 90 * time.Second}); got != "deploying, 1m30s" {
		t.Errorf("got %q", got)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns the two ends of a terminal: that of the person, and that of
// the program.
func openTerminal(t *testing.T) (person, tty *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { person.Close() })
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { tty.Close() })
	return person, tty
}

func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	mode, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return mode.Lflag&unix.ECHO != 0
}

// prompted is a standard error that does something when it is asked for a password.
type prompted func()

// Write looks for the question.
func (p prompted) Write(text []byte) (int, error) {
	if strings.Contains(string(text), "Password") {
		p()
	}
	return len(text), nil
}

func TestPasswordIsNotShown(t *testing.T) {
	person, tty := openTerminal(t)
	p := program{in: tty, err: prompted(func() {
		if echoes(t, tty) {
			t.Error("the terminal shows what is typed")
		}
		if _, err := io.WriteString(person, "secret\n"); err != nil {
			t.Error(err)
		}
	})}
	if got, err := p.password(t.Context(), ""); err != nil || got != "secret" {
		t.Errorf("got %q, %v", got, err)
	}
	if !echoes(t, tty) {
		t.Error("the terminal does not show any more what is typed")
	}
}

// Ctrl-C while a password is asked for leaves a terminal that shows what is typed.
func TestPasswordInterrupted(t *testing.T) {
	person, tty := openTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	p := program{in: tty, err: prompted(cancel)}
	if got, err := p.password(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got %q, %v, want that it was canceled", got, err)
	}
	if !echoes(t, tty) {
		t.Error("the terminal does not show what is typed")
	}
	if _, err := io.WriteString(person, "\n"); err != nil { // ends the reader
		t.Error(err)
	}
}

// On a terminal the progress is redrawn in its place.
func TestProgressOnATerminal(t *testing.T) {
	person, tty := openTerminal(t)
	s := newScreen(tty)
	s.show("n1", progress{what: "cleaning"})
	s.show("n1", progress{what: "available"})
	s.end("n1", "n1: done")
	u := newTube(t)
	want := frame(0, "", []string{"n1: cleaning, 0s"}) + frame(1, "", []string{"n1: available, 0s"}) + frame(1, "n1: done\n", nil)
	want = strings.ReplaceAll(want, "\n", "\r\n") // as the terminal's driver does
	got := make([]byte, len(want))
	if _, err := io.ReadFull(io.TeeReader(person, u), got); err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if u.String() != "n1: done\n" {
		t.Errorf("it shows %q", u)
	}
}

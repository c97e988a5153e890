package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestEachGoesOn(t *testing.T) {
	var b bytes.Buffer
	n := &nodeVerbs{}
	notFound, locked := &apiError{Status: 404, Text: "no such node"}, &apiError{Status: 409, Text: "locked"}
	err := n.each(t.Context(), []string{"a", "b", "c", "a", "d"}, newScreen(&b), func(_ context.Context, ref string) (string, error) {
		switch ref {
		case "b":
			return "", notFound
		case "c":
			return "", locked
		}
		return ref + " done", nil
	})
	if exitCode(err) != exitConflict || !strings.Contains(err.Error(), "2 of 4") {
		t.Errorf("got %v with code %d, want that of the worse error, 4, and a count", err, exitCode(err))
	}
	got := strings.Split(strings.TrimSpace(b.String()), "\n")
	slices.Sort(got)
	if want := []string{"a done", "b: no such node", "c: locked", "d done"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The error of one node alone is told by its caller.
func TestEachOfOne(t *testing.T) {
	var b bytes.Buffer
	locked := &apiError{Status: 409, Text: "locked"}
	err := (&nodeVerbs{}).each(t.Context(), []string{"a", "a"}, newScreen(&b), func(context.Context, string) (string, error) {
		return "never shown", locked
	})
	if !errors.Is(err, locked) || b.Len() > 0 {
		t.Errorf("got %v and %q, want the error itself", err, &b)
	}
}

func TestEachIsBounded(t *testing.T) {
	var refs []string
	for i := range 5 * atOnce {
		refs = append(refs, fmt.Sprint("n", i))
	}
	var now, most atomic.Int32
	var together sync.WaitGroup // all of the first that may run at once must have come
	together.Add(atOnce)
	var come atomic.Int32
	err := (&nodeVerbs{}).each(t.Context(), refs, newScreen(&bytes.Buffer{}), func(context.Context, string) (string, error) {
		if running := now.Add(1); running > most.Load() {
			most.Store(running)
		}
		defer now.Add(-1)
		if come.Add(1) <= atOnce {
			together.Done()
			together.Wait()
		}
		return "", nil
	})
	if err != nil || most.Load() != atOnce {
		t.Errorf("got %v, and %d at once, want %d", err, most.Load(), atOnce)
	}
}

// When nobody answers, what is left is not tried, and that is said.
func TestEachEndsWhenNobodyAnswers(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		code int
	}{
		{"unreachable", &kindError{errUnreachable, errors.New("away")}, exitUnreachable},
		{"interrupted", context.Canceled, exitInterrupted},
	} {
		var b bytes.Buffer
		var refs []string
		for i := range 3 * atOnce {
			refs = append(refs, fmt.Sprint("n", i))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var tried atomic.Int32
		err := (&nodeVerbs{}).each(ctx, refs, newScreen(&b), func(context.Context, string) (string, error) {
			tried.Add(1)
			if errors.Is(c.err, context.Canceled) {
				cancel()
			}
			return "", c.err
		})
		cancel()
		left := strings.Count(b.String(), ": not tried\n")
		if exitCode(err) != c.code || int(tried.Load()) > atOnce || left != len(refs)-int(tried.Load()) {
			t.Errorf("%s: got %v, %d tried and %d not, want code %d and at most %d tried", c.name, err, tried.Load(), left, c.code, atOnce)
		}
	}
}

func TestWorst(t *testing.T) {
	byCode := map[int]error{
		exitInterrupted: errInterrupted, exitUnreachable: &kindError{errUnreachable, errors.New("away")}, exitFailure: errors.New("failed"),
		exitTimeout: &kindError{errTimeout, errors.New("late")}, exitConflict: &apiError{Status: 409}, exitNotFound: &apiError{Status: 404},
	}
	for i, worse := range severity[:len(severity)-1] {
		for _, better := range severity[i+1 : len(severity)-1] {
			err := worst([]error{byCode[better], byCode[worse], &kindError{errUntried, errors.New("x")}}, 9)
			if exitCode(err) != worse {
				t.Errorf("%d and %d: got %d", worse, better, exitCode(err))
			}
		}
	}
	if worst(nil, 3) != nil {
		t.Error("no error: got one")
	}
}

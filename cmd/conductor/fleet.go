package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// atOnce is how many nodes are worked on at a time.
const atOnce = 10

// errand is what is done on one node. It returns what became of it, for a line.
type errand func(ctx context.Context, ref string) (string, error)

// each does something on each node, says what became of it, and goes on after an
// error: what is asked for one node does not depend on another. The exit code is
// that of the worst error. A node that is named twice is one.
func (n *nodeVerbs) each(ctx context.Context, refs []string, s *screen, do errand) error {
	refs = unique(refs)
	var (
		queue  = make(chan string)
		mu     sync.Mutex
		errs   []error
		gone   bool // nothing more makes sense
		failed = func(err error) {
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			gone = gone || errors.Is(err, errUnreachable) || ctx.Err() != nil
		}
	)
	var workers sync.WaitGroup
	for range min(atOnce, len(refs)) {
		workers.Go(func() {
			for ref := range queue {
				mu.Lock()
				skip := gone
				mu.Unlock()
				if skip {
					failed(&kindError{errUntried, errors.New("not tried")})
					s.end(ref, ref+": not tried")
					continue
				}
				text, err := do(ctx, ref)
				if err != nil {
					failed(err)
					if text = ""; len(refs) > 1 {
						text = ref + ": " + err.Error()
					}
				}
				s.end(ref, text)
			}
		})
	}
	for _, ref := range refs {
		queue <- ref
	}
	close(queue)
	workers.Wait()
	return worst(errs, len(refs))
}

func unique(refs []string) []string {
	var out []string
	for _, ref := range refs {
		if !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	return out
}

// errUntried is no failure of its own: another one came before it.
var errUntried = errors.New("not tried")

// severity orders exit codes, the worst first.
var severity = []int{exitInterrupted, exitUnreachable, exitFailure, exitTimeout, exitConflict, exitNotFound, exitUsage}

// worst is the error for all: the only one, or that of the worst exit code, when
// all have been told already.
func worst(errs []error, of int) error {
	if len(errs) == 0 {
		return nil
	}
	if of == 1 {
		return errs[0]
	}
	var codes []int
	for _, err := range errs {
		if !errors.Is(err, errUntried) {
			codes = append(codes, exitCode(err))
		}
	}
	code := slices.MinFunc(codes, func(a, b int) int { return slices.Index(severity, a) - slices.Index(severity, b) })
	return &codeError{code, fmt.Sprintf("%d of %d nodes: not done, as told above", len(errs), of)}
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// password reads a password from a file, or asks for it. It is never an argument:
// those are there for everybody to read.
func (p program) password(ctx context.Context, file string) (string, error) {
	switch {
	case file == "-":
		return firstLine(p.in)
	case file != "":
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return firstLine(f)
	}
	tty, ok := p.in.(*os.File)
	if !ok || !terminal(tty) {
		return "", errors.New("is needed off a terminal: a file, or - for the standard input")
	}
	show, err := hideInput(tty)
	if err != nil {
		return "", err
	}
	defer fmt.Fprintln(p.err)
	defer show()
	fmt.Fprint(p.err, "Password: ")
	type read struct {
		line string
		err  error
	}
	typed := make(chan read, 1)
	go func() { // who types Ctrl-C does not type a line: then this ends with the process
		line, err := firstLine(tty)
		typed <- read{line, err}
	}()
	select {
	case r := <-typed:
		return r.line, r.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxText)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", errors.New("it is empty")
	}
	return line, nil
}

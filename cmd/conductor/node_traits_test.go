package main

import (
	"strings"
	"testing"
)

func TestNodeTraits(t *testing.T) {
	c := startConductor(t)
	c.run(t, exitOK, "node", "create", "--name", "n1", "--driver", "fake-hardware")
	for _, s := range []struct {
		line string
		code int
		want string // all traits then
	}{
		{"list n1", exitOK, ""},
		{"add n1 CUSTOM_B CUSTOM_A", exitOK, "CUSTOM_A\nCUSTOM_B\n"},
		{"add n1 CUSTOM_A", exitOK, "CUSTOM_A\nCUSTOM_B\n"},
		{"add n1 nonsense", exitFailure, "CUSTOM_A\nCUSTOM_B\n"},
		{"remove n1 CUSTOM_A", exitOK, "CUSTOM_B\n"},
		{"remove n1 CUSTOM_A", exitNotFound, "CUSTOM_B\n"},
		{"set n1 CUSTOM_C CUSTOM_D", exitOK, "CUSTOM_C\nCUSTOM_D\n"},
		{"set n1 CUSTOM_E n/a", exitFailure, "CUSTOM_C\nCUSTOM_D\n"},
		{"set nosuch CUSTOM_E", exitNotFound, "CUSTOM_C\nCUSTOM_D\n"},
		{"clear n1", exitOK, ""},
	} {
		c.run(t, s.code, append([]string{"node", "traits"}, strings.Fields(s.line)...)...)
		if out, _ := c.run(t, exitOK, "node", "traits", "list", "n1", "-o", "name"); out != s.want {
			t.Errorf("%s: got %q, want %q", s.line, out, s.want)
		}
	}
}

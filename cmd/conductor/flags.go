package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// pairs is a flag of names with values: repeated, or with ; between them. A
// value may contain commas.
type pairs map[string]string

// Type is shown in the help.
func (p pairs) Type() string { return "name=value" }

func (p pairs) String() string {
	var texts []string
	for _, k := range slices.Sorted(maps.Keys(p)) {
		texts = append(texts, k+"="+p[k])
	}
	return strings.Join(texts, ";")
}

// Set adds the pairs of a text.
func (p pairs) Set(text string) error {
	for pair := range strings.SplitSeq(text, ";") {
		name, value, ok := strings.Cut(pair, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return fmt.Errorf("%q: want NAME=VALUE", pair)
		}
		p[name] = strings.TrimSpace(value)
	}
	return nil
}

// lists answers the values as lists.
func (p pairs) lists() map[string][]string {
	all := map[string][]string{}
	for name, value := range p {
		for one := range strings.SplitSeq(value, ",") {
			if one = strings.TrimSpace(one); one != "" {
				all[name] = append(all[name], one)
			}
		}
	}
	return all
}

// patience is a flag that says how long to wait: a duration, or forever.
type patience time.Duration

// Type is shown in the help.
func (p *patience) Type() string { return "duration|forever" }

func (p *patience) String() string {
	if time.Duration(*p) == lease.Patient {
		return "forever"
	}
	return time.Duration(*p).String()
}

// Set reads a duration or "forever".
func (p *patience) Set(text string) error {
	if text == "forever" {
		*p = patience(lease.Patient)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return errors.New(`want a duration such as 30s, or "forever"`)
	}
	*p = patience(d)
	return nil
}

// maxText is the most bytes of a text that is kept with a lock: every conductor
// holds a copy of each.
const maxText = 1024

// tooLong refuses texts that others would have to carry, by the name of the flag.
func tooLong(texts map[string]string) error {
	for _, flag := range sortedKeys(texts) {
		if n := len(texts[flag]); n > maxText {
			return usage(fmt.Errorf("--%s has %d bytes: want at most %d", flag, n, maxText))
		}
	}
	return nil
}

// checkLease refuses what a session would, by the name of the flag. A margin of
// zero is for the session to choose.
func checkLease(ttl, margin time.Duration) error {
	if ttl < 2*time.Second {
		return usage(fmt.Errorf("--lease-ttl is %s: want at least 2s", ttl))
	}
	if margin < 0 || margin > ttl/2 {
		return usage(fmt.Errorf("--lease-margin is %s: want at most half of --lease-ttl, %s", margin, ttl))
	}
	return nil
}

// choice is a flag with a few values.
type choice struct {
	value string
	of    []string
}

// Type is shown in the help.
func (c *choice) Type() string { return strings.Join(c.of, "|") }

func (c *choice) String() string { return c.value }

// Set takes one of the values.
func (c *choice) Set(text string) error {
	if !slices.Contains(c.of, text) {
		return fmt.Errorf("want one of %s", strings.Join(c.of, ", "))
	}
	c.value = text
	return nil
}

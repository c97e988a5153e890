package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
)

// bodyTimeout is how long a client may take to send its body.
const bodyTimeout = 30 * time.Second

// body reads what a client sent, at most 1 MiB of it.
func (c *call) body() ([]byte, error) {
	// Only while the body is read: later, a deadline would end the wait for a lock.
	rc := http.NewResponseController(c.w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout)) // a recorder has none
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	data, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if tooLong, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, refuse(node.ErrTooLarge, "The body is longer than %d bytes.", tooLong.Limit)
	}
	if err != nil {
		return nil, invalid("", "the body ended too early: %v", err)
	}
	return data, nil
}

// decode reads the body into a struct; strict, with every bad field named.
func (c *call) decode(into any) error {
	data, err := c.body()
	if err != nil {
		return err
	}
	return node.DecodeInput(bytes.NewReader(data), maxBody, into)
}

// input reads the body into a new record. A field must be known, one that
// clients may set, and not newer than the request's version. Before it is read,
// edit may change the raw fields.
func (s *resource[R]) input(c *call, into R, edit func(map[string]json.RawMessage) error) error {
	data, err := c.body()
	if err != nil {
		return err
	}
	raw, err := node.InputFields(data)
	if err != nil {
		return err
	}
	if edit != nil {
		if err := edit(raw); err != nil {
			return err
		}
	}
	var bad []node.FieldError
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		col, known := s.columns[name]
		if known && col.since != beyond && unset(name, raw[name]) { // Ironic: harmless in all versions
			delete(raw, name)
			continue
		}
		switch {
		case !known || col.since == beyond:
			bad = append(bad, node.FieldError{Field: cut(name, 64), Reason: "unknown field"})
		case !col.create:
			bad = append(bad, node.FieldError{Field: name, Reason: "cannot be set"})
		case col.since > c.v:
			return tooNew("The field "+name, col.since, c.v)
		}
	}
	if len(bad) > 0 {
		return &node.ValidationError{Fields: bad}
	}
	s.looseBools(raw)
	data, err = json.Marshal(raw)
	if err != nil {
		return err
	}
	return node.DecodeInput(bytes.NewReader(data), maxBody+1024, into)
}

// unset says whether a value is the one of a field that is not set.
func unset(name string, value json.RawMessage) bool {
	return string(value) == "null" || name == "conductor_group" && string(value) == `""`
}

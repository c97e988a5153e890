package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// apiError is a refusal of the API.
type apiError struct {
	Status int    `json:"-"`
	Text   string `json:"-"`
	Kind   string `json:"kind"`  // our word for it, "" from others than a conductor
	Field  string `json:"field"` // that is wrong, or is taken

	// Who has the lock, when that is the reason.
	Holder  string    `json:"holder"`
	Purpose string    `json:"purpose"`
	Since   time.Time `json:"since"`
}

func (e *apiError) Error() string {
	text := e.Text
	if text == "" {
		text = http.StatusText(e.Status)
	}
	if e.Status == http.StatusUnauthorized {
		text += " (--server-user and --server-password-file, or --server-cert-file, say who you are)"
	}
	if e.Holder != "" && !strings.Contains(text, e.Purpose) {
		text += fmt.Sprintf(" (held by %s for %q", e.Holder, e.Purpose)
		if !e.Since.IsZero() {
			text += fmt.Sprintf(" since %s, %s ago", stamp(e.Since), ago(e.Since))
		}
		text += ")"
	}
	return text
}

// exitCode of an answer of the API.
func (e *apiError) exitCode() int {
	if slices.Contains([]string{"limit", "no_worker", "busy"}, e.Kind) { // others have all the places there are
		return exitConflict
	}
	switch e.Status {
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusConflict:
		// Ironic says 409 for what is taken and for what does not fit the node's
		// state; only the former may be better in a moment.
		if e.Kind == "invalid_state" || e.Kind == "power_state" {
			return exitFailure
		}
		return exitConflict
	case http.StatusPreconditionFailed:
		return exitConflict
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return exitTimeout
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return exitUnreachable
	}
	return exitFailure
}

// refusal reads an error as Ironic writes it: JSON in a string in JSON, and
// beside it what is ours.
func refusal(status int, body []byte) *apiError {
	e := &apiError{}
	var outer struct {
		Message json.RawMessage `json:"error_message"`
		Detail  string          `json:"detail"`
	}
	if json.Unmarshal(body, &outer) != nil || json.Unmarshal(body, e) != nil {
		e.Text = strings.TrimSpace(string(body[:min(len(body), 500)]))
	}
	var inner struct {
		Fault string `json:"faultstring"`
	}
	var text string
	if json.Unmarshal(outer.Message, &text) == nil {
		outer.Message = json.RawMessage(text)
	}
	e.Status = status
	switch {
	case json.Unmarshal(outer.Message, &inner) == nil && inner.Fault != "":
		e.Text = inner.Fault
	case text != "":
		e.Text = text
	case outer.Detail != "":
		e.Text = outer.Detail
	}
	return e
}

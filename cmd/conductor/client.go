package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

const defaultServer = "http://127.0.0.1:6385"

// apiVersion is the version of the API that these verbs were written for.
const apiVersion = "1.78"

// apiClient talks to the API of a conductor.
type apiClient struct {
	server   string
	lockWait patience
	timeout  time.Duration
}

func (c *apiClient) serverFlags(f *pflag.FlagSet) {
	f.StringVar(&c.server, "server", defaultServer, "URL of a conductor; any one will do")
	f.DurationVar(&c.timeout, "timeout", 30*time.Second, "how long an answer may take, besides waiting for a lock")
}

func (c *apiClient) flags(f *pflag.FlagSet) {
	c.serverFlags(f)
	c.lockWait = patience(2 * time.Second) // as the API waits by itself
	f.Var(&c.lockWait, "lock-wait", "how long to wait for the lock of a node that is locked")
}

// apiError is a refusal of the API.
type apiError struct {
	Status int
	Text   string

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
	if e.Holder != "" && !strings.Contains(text, e.Purpose) {
		text += fmt.Sprintf(" (held by %s for %q", e.Holder, e.Purpose)
		if !e.Since.IsZero() {
			text += fmt.Sprintf(" since %s, %s ago", stamp(e.Since), ago(e.Since))
		}
		text += ")"
	}
	return text
}

// do sends a request with an optional body and reads the answer, if into is not nil.
func (c *apiClient) do(ctx context.Context, method, path string, body, into any) error {
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout+c.wait())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.server, "/")+path, payload)
	if err != nil {
		return usage(fmt.Errorf("--server: %w", err))
	}
	r.Header.Set("X-OpenStack-Ironic-API-Version", apiVersion)
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return c.unanswered(ctx, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 256<<20))
	if err != nil {
		return c.unanswered(ctx, err)
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return refusal(answer.StatusCode, text)
	}
	if into == nil || len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s is no conductor, or of another version: %w", c.server, err)
	}
	return nil
}

// change is do for what needs a node's lock.
func (c *apiClient) change(ctx context.Context, method, path string, body, into any) error {
	return c.do(ctx, method, path+"?wait="+url.QueryEscape(c.wait().String()), body, into)
}

// wait is --lock-wait; for ever is as long as a conductor grants.
func (c *apiClient) wait() time.Duration {
	if c.lockWait < 0 {
		return 24 * time.Hour
	}
	return time.Duration(c.lockWait)
}

func (c *apiClient) unanswered(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL, which is told below
	}
	kind := errUnreachable
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case ctx.Err() != nil:
		kind = errTimeout
		err = fmt.Errorf("not within %s", c.timeout+c.wait())
	}
	return &kindError{kind, fmt.Errorf("the conductor at %s does not answer: %w (--server says where one is, \"conductor serve\" starts one)",
		c.server, err)}
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

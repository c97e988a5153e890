package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	silence   = 45 * time.Second // after which a server that tells of its life each 15 s is taken for gone
	comeBack  = 2 * time.Second  // before another try, unless the server says how long
	maxData   = 4 << 20          // of a line
	errorType = "error"          // of the event that says why a stream ends
)

// eventStream follows events over all the connections that it takes.
type eventStream struct {
	*apiClient
	query url.Values
	last  string // id of the last event whose whole revision was shown
	pause time.Duration
	show  func(revision int64, event []byte) error
}

// errAgain is an end of a stream after which another may go on.
var errAgain = errors.New("the stream ended")

// followEvents shows events until ctx ends or something is wrong that another try
// does not cure. Only the first try must succeed: later, a conductor that is gone
// may come back, or another one in its place.
func (c *apiClient) followEvents(ctx context.Context, say io.Writer, query url.Values, show func(int64, []byte) error) error {
	s := &eventStream{apiClient: c, query: query, pause: comeBack, show: show}
	for told := false; ; {
		before := s.last
		err := s.connect(ctx)
		told = told && s.last == before
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, errAgain) || s.last == "":
			return err
		case !told:
			fmt.Fprintf(say, "conductor: %v; trying again\n", err)
			told = true
		}
		select {
		case <-time.After(s.pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// connect follows one stream to its end, which is errAgain if it may be another's
// beginning.
func (s *eventStream) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(s.timeout, func() { cancel(context.DeadlineExceeded) })
	defer watchdog.Stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.String()+"/v1/events?"+s.query.Encode(), nil)
	if err != nil {
		return usage(fmt.Errorf("--server: %w", err))
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("X-OpenStack-Ironic-API-Version", s.microversion())
	if s.last != "" {
		r.Header.Set("Last-Event-ID", s.last)
	}
	answer, err := (&http.Client{Transport: &s.security}).Do(r)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return again(s.unanswered(err))
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
		err := refusal(answer.StatusCode, text)
		if answer.StatusCode >= 500 {
			return again(err)
		}
		return err
	}
	return s.read(answer.Body, func() { watchdog.Reset(silence) })
}

func again(err error) error {
	if errors.Is(err, errUsage) {
		return err
	}
	return &kindError{errAgain, err}
}

// read shows the events of one stream. What has come without its id is not shown:
// it comes again after the next beginning.
func (s *eventStream) read(body io.Reader, alive func()) error {
	var pending [][]byte
	var id, event, data string
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxData)
	for lines.Scan() {
		alive()
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			id = value
		case "event":
			event = value
		case "data":
			data = value
		case "retry":
			if ms, err := strconv.Atoi(value); err == nil && ms >= 0 && ms < 60_000 {
				s.pause = time.Duration(ms) * time.Millisecond
			}
		}
		if lines.Text() != "" {
			continue
		}
		if event == errorType {
			return streamError(data)
		}
		if strings.HasPrefix(data, "{") {
			pending = append(pending, []byte(data))
		}
		if id != "" {
			if err := s.commit(id, pending); err != nil {
				return err
			}
			pending = nil
		}
		id, event, data = "", "", ""
	}
	return &kindError{errAgain, s.unanswered(errors.Join(errors.New("the connection ended"), lines.Err()))}
}

// commit shows the events of a revision, which is whole now.
func (s *eventStream) commit(id string, events [][]byte) error {
	revision, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return fmt.Errorf("%s is no conductor, or of another version: the id of an event is %q", &s.server, id)
	}
	for _, e := range events {
		if err := s.show(revision, e); err != nil {
			return err
		}
	}
	s.last = id
	return nil
}

// streamError is why the server ended a stream.
func streamError(data string) error {
	var told struct{ Kind, Error string }
	if err := json.Unmarshal([]byte(data), &told); err != nil {
		return &kindError{errAgain, err}
	}
	err := &apiError{Status: http.StatusInternalServerError, Text: told.Error, Kind: told.Kind}
	if slices.Contains([]string{"slow", "unavailable", "closing"}, told.Kind) {
		return &kindError{errAgain, err}
	}
	return err
}

package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/conductor-metal/conductor/pkg/lease"
)

func TestLocksAreShown(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.version = "" // they are no part of any version
		s.create(t, object{"uuid": idA})
		s.create(t, object{"uuid": idB})
		other := s.open(t, "c2.example")
		s.lock(t, other, idA, lease.Exclusive)
		waiting, stop := context.WithCancel(t.Context())
		defer stop()
		go func() {
			_, _ = s.session.Acquire(waiting, lease.Request{Name: idA, Purpose: "power", Wait: lease.Patient})
		}()
		synctest.Wait()
		r := s.want(t, 200, "GET", "/v1/locks", nil)
		var list struct {
			Locks []queueView `json:"locks"`
		}
		if err := json.Unmarshal([]byte(r.Raw), &list); err != nil {
			t.Fatal(err)
		}
		if len(list.Locks) != 1 || len(list.Locks[0].Holders) != 1 || len(list.Locks[0].Waiters) != 1 {
			t.Fatalf("%s", r.Raw)
		}
		h, w := list.Locks[0].Holders[0], list.Locks[0].Waiters[0]
		if h.Holder != "c2.example" || h.Purpose != "deploy" || h.User != "alice" || !h.Granted || h.Revision == 0 || h.Lease == "" || h.TTL != 15 {
			t.Errorf("holder %+v", h)
		}
		if w.Holder != "c1.example" || w.Purpose != "power" || w.Granted || w.Revision <= h.Revision {
			t.Errorf("waiter %+v", w)
		}
		one := s.want(t, 200, "GET", "/v1/locks/"+strings.ToUpper(idA), nil)
		if one.Body["node"] != idA {
			t.Errorf("%s", one.Raw)
		}
		if r := s.want(t, 200, "GET", "/v1/locks/"+idB, nil); len(r.Body["holders"].([]any)) != 0 {
			t.Errorf("%s", r.Raw)
		}
		s.want(t, 404, "GET", "/v1/locks/"+idC, nil)
		s.want(t, 400, "GET", "/v1/locks?watch=perhaps", nil)
	})
}

func TestForeignLocks(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		key := lease.DefaultRoot + "locks/" + idA + "/by-hand"
		if _, err := s.client.Put(t.Context(), key, ""); err != nil {
			t.Fatal(err)
		}
		r := s.want(t, 409, "DELETE", "/v1/nodes/"+idA+"?wait=0", nil)
		if !strings.Contains(r.fault(), "locked by host unknown") || r.Body["since"] != nil || r.Body["free_by"] != nil {
			t.Errorf("%s", r.Raw)
		}
		if got := holderName(lease.Entry{Foreign: true, Key: "/x/694d81417acd5f0f", Lease: 0x694d81417acd5f0f}); got != "etcdctl" {
			t.Errorf("an entry of etcdctl lock is %q's", got)
		}
	})
}

func TestBreak(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "a"})
		l := s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
		rev := int64(s.want(t, 200, "GET", "/v1/locks/a", nil).Body["holders"].([]any)[0].(object)["revision"].(float64))
		for _, tt := range []struct {
			query  string
			status int
		}{
			{"", 400},
			{"?reason=x", 400},
			{"?revision=0&reason=x", 400},
			{"?revision=abc&reason=x", 400},
			{fmt.Sprintf("?revision=%d", rev), 400},
			{fmt.Sprintf("?revision=%d&reason=+", rev), 400},
			{fmt.Sprintf("?revision=%d&reason=x", rev+1), 412},
		} {
			if r := s.want(t, tt.status, "DELETE", "/v1/locks/a"+tt.query, nil); r.Header.Get("Retry-After") != "" {
				t.Errorf("%q has Retry-After", tt.query)
			}
		}
		if err := l.Check(); err != nil {
			t.Fatalf("the lock is gone too early: %v", err)
		}
		path := fmt.Sprintf("/v1/locks/a?revision=%d&reason=wedged", rev)
		r := s.want(t, 200, "DELETE", path, nil)
		if r.Body["holder"] != "c2.example" || r.Body["why"] != "wedged" || r.Body["by"] == "" {
			t.Errorf("%s", r.Raw)
		}
		synctest.Wait()
		if l.Context().Err() == nil {
			t.Error("the holder does not know")
		}
		if got := testutil.ToFloat64(gathered(t, s, "conductor_lock_breaks_total")); got != 1 {
			t.Errorf("%v breaks counted", got)
		}
		if !strings.Contains(s.log.String(), `"reason":"wedged"`) {
			t.Error("the break is not logged")
		}
		s.want(t, 404, "DELETE", path, nil)
		s.want(t, 204, "DELETE", "/v1/nodes/a", nil)
	})
}

func TestWatch(t *testing.T) {
	for _, accept := range []string{"application/json", "text/event-stream"} {
		t.Run(accept, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) { testWatch(t, s, accept) })
		})
	}
}

func testWatch(t *testing.T, s *server, accept string) {
	s.create(t, object{"uuid": idA})
	s.create(t, object{"uuid": idB})
	other := s.open(t, "c2.example")
	l := s.lock(t, other, idA, lease.Exclusive)
	s.lock(t, other, idB, lease.Exclusive) // of no interest
	ctx, leave := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan struct{})
	req := s.request(t, "GET", "/v1/locks/"+idA+"?watch=true", nil, "Accept: "+accept).WithContext(ctx)
	go func() {
		defer close(done)
		defer w.Close()
		s.ServeHTTP(&pipeWriter{header: http.Header{}, w: w}, req)
	}()
	lines := bufio.NewScanner(r)
	want := func(kind lease.EventType) {
		t.Helper()
		for lines.Scan() {
			text := strings.TrimPrefix(lines.Text(), "data: ")
			var ev lockEvent
			if !strings.HasPrefix(text, "{") {
				continue // a sign of life, or the event's name
			}
			if err := json.Unmarshal([]byte(text), &ev); err != nil {
				t.Fatalf("%v in %q", err, text)
			}
			if ev.Type != kind || ev.Node != idA || ev.Entry.Holder == "" {
				t.Fatalf("got %s, want %s", text, kind)
			}
			return
		}
		t.Fatalf("the stream ended before %s", kind)
	}
	want(lease.EventGranted)
	time.Sleep(time.Minute)
	go func() { _ = l.Release(t.Context(), lease.Write{}) }()
	want(lease.EventReleased)
	go func() {
		got, err := s.session.Acquire(t.Context(), lease.Request{Name: idA, Purpose: "x"})
		if err == nil {
			_ = got.Release(t.Context(), lease.Write{})
		}
	}()
	want(lease.EventGranted)
	leave()
	go func() { _, _ = io.Copy(io.Discard, r) }()
	<-done
}

// pipeWriter is a ResponseWriter whose body somebody reads as it comes.
type pipeWriter struct {
	header http.Header
	w      io.Writer
}

func (p *pipeWriter) Header() http.Header         { return p.header }
func (p *pipeWriter) WriteHeader(int)             {}
func (p *pipeWriter) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p *pipeWriter) Flush()                      {}

func TestWatchesAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan struct{}, maxWatches)
		for range maxWatches {
			req := s.request(t, "GET", "/v1/locks?watch=1", nil).WithContext(ctx)
			go func() {
				s.ServeHTTP(httptest.NewRecorder(), req)
				done <- struct{}{}
			}()
		}
		synctest.Wait()
		if r := s.want(t, 503, "GET", "/v1/locks?watch=1", nil); r.Header.Get("Retry-After") == "" {
			t.Errorf("%v", r.Header)
		}
		leave()
		for range maxWatches {
			<-done
		}
		req := s.request(t, "GET", "/v1/locks?watch=1", nil).WithContext(ctx)
		if w := newRecorder(s, req); w.Code != 200 { // there is room again
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// Over a real connection, events come when they happen and not with the end.
func TestWatchOverTCP(t *testing.T) {
	s := newServer(t)
	front := httptest.NewServer(s)
	defer front.Close()
	s.create(t, object{"uuid": idA})
	s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, "GET", front.URL+"/v1/locks?watch=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := front.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var ev lockEvent
	if err := json.NewDecoder(resp.Body).Decode(&ev); err != nil || ev.Node != idA || ev.Type != lease.EventGranted {
		t.Errorf("%+v, %v", ev, err)
	}
	post, err := front.Client().Post(front.URL+"/v1/nodes", "application/json", strings.NewReader(`{"driver": "fake-hardware"}`))
	if err != nil || post.StatusCode != 201 {
		t.Fatalf("%v, %v", post, err)
	}
	_ = post.Body.Close()
	if resp.Header.Get(headerMax) != "1.98" || !strings.HasPrefix(post.Header.Get("Location"), front.URL+"/v1/nodes/") {
		t.Errorf("%v, %v", resp.Header, post.Header)
	}
}

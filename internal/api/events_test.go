package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// message is one server-sent event, or a block with nothing but an id.
type message struct{ id, event, data string }

// messages reads server-sent events until the stream ends.
func messages(r io.Reader, each func(message) bool) {
	var m message
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			m.id = value
		case "event":
			m.event = value
		case "data":
			m.data = value
		case "":
			if m != (message{}) && value == "" && !each(m) {
				return
			}
			if value == "" { // else it is a comment
				m = message{}
			}
		}
	}
}

// cutWriter takes so many bytes and then is gone.
type cutWriter struct {
	pipeWriter
	left int
}

func (c *cutWriter) Write(b []byte) (int, error) {
	n := min(len(b), c.left)
	c.left -= n
	if _, err := c.w.Write(b[:n]); err != nil || n < len(b) {
		return n, io.ErrClosedPipe
	}
	return n, nil
}

// follow gives what a stream of events says to each, until that has enough, the
// stream ends, or so many bytes have come.
func (s *server) follow(t *testing.T, query string, bytes int, each func(message) bool, headers ...string) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan struct{})
	req := s.request(t, "GET", "/v1/events"+query, nil, headers...).WithContext(ctx)
	go func() {
		defer close(done)
		defer w.Close()
		s.ServeHTTP(&cutWriter{pipeWriter{header: http.Header{}, w: w}, bytes}, req)
	}()
	messages(r, each)
	leave()
	_ = r.Close()
	<-done
}

const unlimited = 1 << 30

func TestEventsAreStreamed(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "a"})
		s.version = "" // they are no part of any version
		started := time.Now()
		var got []message
		s.follow(t, "?since=0", unlimited, func(m message) bool {
			got = append(got, m)
			switch {
			case m.event == "baremetal.node.create.end":
				go func() {
					time.Sleep(time.Minute) // with signs of life only
					s.do(t, "PUT", "/v1/nodes/"+idA+"/maintenance", object{"reason": "fan"})
				}()
			case m.event == "baremetal.node.maintenance_set.end":
				return false
			}
			return true
		})
		first, last := got[0], got[len(got)-1]
		if first.id != "0" || first.data != "" {
			t.Errorf("begins with %+v, want where it begins", first)
		}
		n, err := s.store.Node(t.Context(), idA)
		if err != nil {
			t.Fatal(err)
		}
		var e task.Notification
		if err := json.Unmarshal([]byte(last.data), &e); err != nil {
			t.Fatal(err)
		}
		// Stored in the transaction that makes it true.
		if last.id != strconv.FormatInt(n.Revision, 10) || e.Node != idA || e.Name != "a" || e.Reason != "fan" || !e.Maintenance || e.Publisher != "c1.example" {
			t.Errorf("got %+v, want the revision %d", last, n.Revision)
		}
		if took := time.Since(started); took < time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

// The API's changes are events.
func TestChangesAreEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "a"})
		port := s.want(t, 201, "POST", "/v1/ports", object{"node_uuid": idA, "address": "52:54:00:00:00:01"}).Body["uuid"].(string)
		s.want(t, 200, "PATCH", "/v1/nodes/a", []object{{"op": "add", "path": "/description", "value": "x"}})
		s.want(t, 200, "PATCH", "/v1/nodes/a", []object{{"op": "add", "path": "/description", "value": "x"}}) // nothing changes
		s.want(t, 200, "PATCH", "/v1/nodes/a", []object{{"op": "replace", "path": "/maintenance", "value": true}})
		s.want(t, 202, "DELETE", "/v1/nodes/a/maintenance", nil)
		s.want(t, 204, "PUT", "/v1/nodes/a/traits", object{"traits": []string{"CUSTOM_A"}})
		s.want(t, 202, "PUT", "/v1/nodes/a/states/power", object{"target": "power on"})
		time.Sleep(time.Minute)
		s.want(t, 200, "PATCH", "/v1/ports/"+port, []object{{"op": "add", "path": "/extra/a", "value": "b"}})
		s.want(t, 204, "DELETE", "/v1/ports/"+port, nil)
		s.want(t, 409, "POST", "/v1/nodes", object{"uuid": idA, "driver": "fake-hardware"}) // nothing happens
		types := func(query string) string {
			return s.want(t, 200, "GET", "/v1/events?follow=false&"+query, nil, "Accept: application/json").names("events", "type")
		}
		want := strings.Join([]string{
			"node.create.end", "port.create.end", "node.update.end", "node.update.end", "node.maintenance_set.end", "node.maintenance_set.end",
			"node.update.end", "node.power_set.start", "node.power_set.end", "port.update.end", "port.delete.end",
		}, " ")
		if got := strings.ReplaceAll(types("node=a"), "baremetal.", ""); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		s.want(t, 204, "DELETE", "/v1/nodes/a", nil)
		if got := types("node=" + strings.ToUpper(idA)); got != "baremetal.node.delete.end" {
			t.Errorf("of a node that is gone: %s", got)
		}
	})
}

func TestEventPages(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA, "name": "a"})
		s.create(t, object{"uuid": idB})
		for range 5 {
			s.want(t, 202, "PUT", "/v1/nodes/a/maintenance", nil)
		}
		var ids, revisions []string
		path := "/v1/events?follow=false&limit=2&type=node"
		for path != "" {
			r := s.want(t, 200, "GET", path, nil, "Accept: application/json")
			ids = append(ids, strings.Fields(r.names("events", "id"))...)
			for _, e := range r.Body["events"].([]any) {
				revisions = append(revisions, fmt.Sprint(e.(object)["revision"]))
			}
			next, _ := r.Body["next"].(string)
			path = strings.TrimPrefix(next, "http://c1.example:6385")
		}
		if len(ids) != 7 || len(slices.Compact(slices.Clone(revisions))) != 7 || !slices.IsSorted(ids) {
			t.Errorf("got %v at %v, want 7 events in order", ids, revisions)
		}
		// The same as a stream that ends, from a revision on.
		var got []string
		last := ""
		s.follow(t, "?follow=0&node=a&since="+revisions[2], unlimited, func(m message) bool {
			if last = m.id; m.data != "" {
				got = append(got, m.id)
			}
			return true
		})
		if !slices.Equal(got, revisions[3:]) {
			t.Errorf("got revisions %v, want %v", got, revisions[3:])
		}
		if now := fmt.Sprint(s.etcd.Revision()); last != now {
			t.Errorf("the stream ends at %s, want %s", last, now)
		}
	})
}

func TestEventsRefuse(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		now := fmt.Sprint(s.etcd.Revision())
		for _, tt := range []struct {
			query, header string
			status        int
		}{
			{"?since=x", "", 400},
			{"?since=-1", "", 400},
			{"?since=0", "x", 400},
			{"?follow=perhaps", "", 400},
			{"?follow=false&limit=0", "", 400},
			{"?watch=true", "", 400},
			{"?node=nobody", "", 404},
			{"?since=" + now + "0", "", 410},
			{"?since=0", now + "0", 410},
		} {
			s.want(t, tt.status, "GET", "/v1/events"+tt.query, nil, headerLastID+": "+tt.header)
		}
	})
}

// A client that acts on events when their id has come, sees each once and in
// order, wherever the connection is cut, also in the middle of a revision, and
// whatever is compacted meanwhile.
func TestEventsResumeAnywhere(t *testing.T) {
	for range 15 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *server) { testEventsResume(t, s, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func testEventsResume(t *testing.T, s *server, r *rand.Rand) {
	var mu sync.Mutex
	told := map[int64][]string{}
	var writers sync.WaitGroup
	for w := range 2 {
		random := rand.New(rand.NewPCG(r.Uint64(), uint64(w)))
		writers.Go(func() {
			for range 60 {
				time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
				var ops []clientv3.Op
				var ids []string
				for range 1 + random.IntN(4) {
					id := uuid.Must(uuid.NewV7()).String()
					ids = append(ids, id)
					ops = append(ops, clientv3.OpPut(s.store.Keys().Events(idA)+id, fmt.Sprintf(`{"id":%q,"type":"x"}`, id)))
				}
				resp, err := s.client.Txn(context.Background()).Then(ops...).Commit()
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				told[resp.Header.Revision] = ids
				mu.Unlock()
			}
		})
	}
	over := make(chan struct{})
	go func() { writers.Wait(); close(over) }()
	defer func() { <-over }()
	got := map[int64][]string{}
	last, end := "0", int64(0)
	for n, _ := strconv.ParseInt(last, 10, 64); end == 0 || n < end; n, _ = strconv.ParseInt(last, 10, 64) {
		select {
		case <-over:
			end = s.etcd.Revision()
		default:
		}
		var pending []string
		s.follow(t, "?since=0", 1+r.IntN(3000), func(m message) bool {
			if m.data != "" {
				var e struct{ ID string }
				if err := json.Unmarshal([]byte(m.data), &e); err != nil {
					t.Error(err)
				}
				pending = append(pending, e.ID)
			}
			if m.id != "" {
				at, _ := strconv.ParseInt(m.id, 10, 64)
				if before, _ := strconv.ParseInt(last, 10, 64); at < before || len(got[at]) > 0 && len(pending) > 0 {
					t.Errorf("%d after %d", at, before)
				}
				if len(pending) > 0 {
					got[at] = pending
				}
				last, pending = m.id, nil
				return end == 0 || at < end
			}
			return true
		}, headerLastID+": "+last)
		if r.IntN(2) == 0 {
			_, _ = s.client.Compact(t.Context(), s.etcd.Revision())
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(told) { // maps are printed in order
		t.Errorf("got\n%v\nwant\n%v", got, told)
	}
}

// A stream counts as a watch, and the lock's break is in it.
func TestEventsOfLocks(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.create(t, object{"uuid": idA})
		s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
		s.follow(t, "?type=conductor.lock", unlimited, func(m message) bool {
			if m.data == "" {
				go func() {
					rev := s.do(t, "GET", "/v1/locks/"+idA, nil).Body["holders"].([]any)[0].(object)["revision"].(float64)
					s.do(t, "DELETE", fmt.Sprintf("/v1/locks/%s?revision=%d&reason=wedged", idA, int64(rev)), nil)
				}()
				return true
			}
			var e task.Notification
			if err := json.Unmarshal([]byte(m.data), &e); err != nil || e.Type != task.LockBroken || e.Holder != "c2.example" ||
				e.Reason != "wedged" || e.Publisher != "c1.example" || e.Node != node.ID(idA) {
				t.Errorf("got %s (%v)", m.data, err)
			}
			return false
		})
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan struct{}, maxWatches)
		for range maxWatches {
			req := s.request(t, "GET", "/v1/events", nil).WithContext(ctx)
			go func() {
				s.ServeHTTP(httptest.NewRecorder(), req)
				done <- struct{}{}
			}()
		}
		synctest.Wait()
		s.want(t, 503, "GET", "/v1/events", nil)
		s.want(t, 200, "GET", "/v1/events?follow=false", nil, "Accept: application/json")
		leave()
		for range maxWatches {
			<-done
		}
	})
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// clientOf is a client of a handler.
func clientOf(t *testing.T, h http.HandlerFunc) *apiClient {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return &apiClient{server: address(server.URL), timeout: time.Minute}
}

// An Ironic that is older than the verbs is spoken to in its own version, and
// asked only once for it.
func TestOlderServer(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		v := r.Header.Get("X-OpenStack-Ironic-API-Version")
		asked[v]++
		if body, _ := io.ReadAll(r.Body); r.Method == http.MethodPut && !strings.Contains(string(body), "manage") {
			t.Errorf("the body is %q", body)
		}
		w.Header().Set("X-OpenStack-Ironic-API-Maximum-Version", "1.78")
		if v != "1.78" || r.Header.Get("OpenStack-API-Version") != "baremetal 1.78" {
			w.WriteHeader(http.StatusNotAcceptable)
			return
		}
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		fmt.Fprint(w, `{"uuid": "x"}`)
	})
	for range 3 {
		if err := nodes.ChangeProvisionState(t.Context(), c.api(), "n1", provisionRequest{"target": "manage"}).ExtractErr(); err != nil {
			t.Fatal(err)
		}
		if n, err := nodes.Get(t.Context(), c.api(), "n1").Extract(); err != nil || n.UUID != "x" {
			t.Fatalf("got %+v, %v", n, err)
		}
	}
	if asked["1.98"] != 1 || asked["1.78"] != 6 {
		t.Errorf("asked %v, want once for 1.98 and then for 1.78", asked)
	}
}

// What a version does not know stays refused: nothing is asked for ever.
func TestNotAcceptable(t *testing.T) {
	asked := 0
	c := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("X-OpenStack-Ironic-API-Maximum-Version", "1.98")
		w.WriteHeader(http.StatusNotAcceptable)
		fmt.Fprint(w, `{"error_message": "{\"faultstring\": \"too new\"}"}`)
	})
	err := c.do(t.Context(), http.MethodGet, "/v1/nodes", nil, nil)
	if e, ok := errors.AsType[*apiError](err); !ok || e.Text != "too new" || asked != 1 {
		t.Errorf("got %v after %d requests", err, asked)
	}
}

func TestPrefer(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		0: "wait=0", 2 * time.Second: "wait=2", 90 * time.Second: "wait=90", 1500 * time.Millisecond: "wait=1.5s", lease.Patient: "wait=86400",
	} {
		got := ""
		c := clientOf(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Prefer") })
		c.lockWait = patience(wait)
		if err := c.do(t.Context(), http.MethodDelete, "/v1/nodes/n1", nil, nil); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", wait, got, err, want)
		}
	}
}

func TestUnanswered(t *testing.T) {
	released := make(chan struct{})
	slow := clientOf(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-released:
		}
	})
	t.Cleanup(func() { close(released) })
	slow.timeout = 50 * time.Millisecond
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	page := clientOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>a gateway</html>") })
	list := clientOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[]") })
	nobody := &apiClient{server: "http://127.0.0.1:1", timeout: time.Minute}
	for _, c := range []struct {
		name   string
		ctx    context.Context
		client *apiClient
		code   int
		want   string
	}{
		{"slow", t.Context(), slow, exitTimeout, "does not answer within 50ms"},
		{"nobody", t.Context(), nobody, exitUnreachable, "--server says where one is"},
		{"canceled", canceled, slow, exitInterrupted, "canceled"},
		{"no JSON", t.Context(), page, exitFailure, "is no conductor"},
		{"other JSON", t.Context(), list, exitFailure, "is no conductor"},
	} {
		var into map[string]json.RawMessage
		err := c.client.do(c.ctx, http.MethodGet, "/v1/nodes", nil, &into)
		if exitCode(err) != c.code || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v with code %d, want %d and %q", c.name, err, exitCode(err), c.code, c.want)
		}
	}
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		"http://h:6385": "http://h:6385", "https://h": "https://h", "http://h:1/": "http://h:1", "http://h/v1": "http://h", "http://h/v1/": "http://h",
		"http://h/baremetal": "http://h/baremetal", "h:6385": "", "": "", "ftp://h": "", "http://": "",
	} {
		var a address
		if err := a.Set(text); string(a) != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", text, a, err, want)
		}
	}
}

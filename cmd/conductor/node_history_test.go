package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// The history is asked for with all that is in it, as Ironic since 1.78 has it.
func TestNodeHistory(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/nodes/n1/history" || r.URL.Query().Get("detail") != "true" {
			http.NotFound(w, r)
			return
		}
		if r.URL.Query().Get("marker") == "" {
			fmt.Fprintf(w, `{"history": [{"uuid": "h1", "created_at": "2026-11-22T10:00:00+00:00", "severity": "ERROR", "event_type": "provisioning",
				"conductor": "c1", "user": null, "event": "disk\non fire"}], "next": "http://%s%s?detail=true&marker=h1"}`, r.Host, r.URL.Path)
			return
		}
		fmt.Fprint(w, `{"history": [{"uuid": "h2", "created_at": "2026-11-22T11:00:00+00:00", "severity": "INFO", "event_type": "power",
			"conductor": "c2", "user": "me", "event": "back"}]}`)
	}))
	defer server.Close()
	env := map[string]string{"CONDUCTOR_SERVER": server.URL}
	code, out, errs := runAs(t, env, "node", "history", "n1")
	want := `AT                         SEVERITY  TYPE          CONDUCTOR  USER  EVENT
2026-11-22T10:00:00+00:00  ERROR     provisioning  c1         -     disk on fire
2026-11-22T11:00:00+00:00  INFO      power         c2         me    back
`
	if code != exitOK || out != want {
		t.Errorf("got code %d, %s\n%s\nwant\n%s", code, errs, out, want)
	}
	if code, out, _ := runAs(t, env, "node", "history", "n1", "--limit", "1", "-o", "name"); code != exitOK || out != "h1\n" {
		t.Errorf("--limit 1: got code %d and %q", code, out)
	}
}

package api

import (
	"net/http"
	"strings"
	"testing"
)

func TestConductorLists(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		first := p.want(t, http.StatusOK, http.MethodGet, "/v1/conductors?limit=1", nil)
		next, _ := first.Body["next"].(string)
		if first.names("conductors", "hostname") != "c1.example" || next == "" {
			t.Fatalf("first page %s", first.Raw)
		}
		second := p.want(t, http.StatusOK, http.MethodGet, next[strings.Index(next, "/v1"):], nil)
		if second.names("conductors", "hostname") != "c2.example" || second.Body["next"] != nil {
			t.Errorf("second page %s", second.Raw)
		}
		for path, want := range map[string]string{
			"?sort_dir=desc":                     "c2.example c1.example",
			"?sort_key=hostname&sort_dir=asc":    "c1.example c2.example",
			"?marker=c1.example":                 "c2.example",
			"?marker=c2.example&sort_dir=desc":   "c1.example",
			"?fields=hostname,drivers&limit=100": "c1.example c2.example",
		} {
			if got := p.want(t, http.StatusOK, http.MethodGet, "/v1/conductors"+path, nil).names("conductors", "hostname"); got != want {
				t.Errorf("%s: %q, want %q", path, got, want)
			}
		}
		if got := p.want(t, http.StatusOK, http.MethodGet, "/v1/conductors/c1.example?fields=alive", nil).Body; len(got) != 1 || got["alive"] != true {
			t.Errorf("fields of one: %v", got)
		}
		for _, path := range []string{"?limit=0", "?sort_key=alive", "?sort_dir=up", "?fields=colour", "?detail=true&fields=alive", "/c1.example?fields=colour"} {
			p.want(t, http.StatusBadRequest, http.MethodGet, "/v1/conductors"+path, nil)
		}
		p.want(t, http.StatusNotFound, http.MethodGet, "/v1/conductors?marker=c9.example", nil)
	})
}

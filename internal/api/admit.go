package api

import (
	"net/http"
	"strings"

	"github.com/conductor-metal/conductor/internal/auth"
)

// admit says who calls, and refuses those who have to say so and do not.
func (a *api) admit(w http.ResponseWriter, r *http.Request) (user string, err error) {
	user, known := auth.Caller(r, a.cfg.Users)
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && a.peer(user) { // a conductor calls on behalf of who called it
		if name := r.Header.Get(headerUser); name != "" {
			user = name
		}
	}
	if known || public(r.URL.Path) {
		return user, nil
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="Baremetal API"`)
	return "", refuse(errUnknownCaller, "Give the name and the password of a user of this service.")
}

// peer says whether the name in a verified certificate is a live conductor's. With
// a password alone nobody can claim to be one.
func (a *api) peer(name string) bool {
	if a.cfg.Cluster.Members == nil {
		return false
	}
	v, _ := a.cfg.Cluster.Members.View()
	_, ok := v.Member(name)
	return ok
}

// public are the paths that all may ask for: what the service is and whether it
// is well, and what a machine's own agent needs, which knows no password and
// shows a token.
//
// Ironic: public_api_routes of the http_basic middleware.
func public(path string) bool {
	switch path {
	case "/", "/v1", "/livez", "/readyz", "/healthz", "/v1/lookup", "/openapi.yaml", "/openapi.json":
		return true
	}
	return strings.HasPrefix(path, "/v1/heartbeat/")
}

package api

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/bcrypt"

	"github.com/conductor-metal/conductor/internal/auth"
)

// Who does not say who he is may see what the service is and whether it is well,
// and an agent may call; a change is made in the name of who asks for it.
func TestAdmit(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("wonder"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, append([]byte("alice:"), hash...), 0o600); err != nil {
		t.Fatal(err)
	}
	users, err := auth.LoadUsers(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	inBubble(t, func(t *testing.T, s *server) {
		c := s.config(s.session)
		c.Users, c.Registry = users, prometheus.NewRegistry()
		if s.Handler, err = judged(t, c); err != nil {
			t.Fatal(err)
		}
		ask := func(path, user, password string) *httptest.ResponseRecorder {
			r := s.request(t, http.MethodGet, path, nil)
			if user != "" {
				r.SetBasicAuth(user, password)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			return w
		}
		for _, path := range []string{"/", "/v1", "/livez", "/readyz"} {
			if w := ask(path, "", ""); w.Code == http.StatusUnauthorized {
				t.Errorf("%s asks for a password", path)
			}
		}
		for _, path := range []string{"/v1/nodes", "/v1/locks", "/metrics", "/nothing", "/v1/heartbeats"} {
			for _, password := range []string{"", "wrong"} {
				w := ask(path, strings.Repeat("alice", min(1, len(password))), password)
				if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" || !strings.Contains(w.Body.String(), "faultstring") {
					t.Errorf("%s with password %q: %d %s", path, password, w.Code, w.Body)
				}
			}
		}
		if w := ask("/v1/nodes", "alice", "wonder"); w.Code != http.StatusOK {
			t.Errorf("the right password: %d %s", w.Code, w.Body)
		}
		if log := s.log.String(); !strings.Contains(log, `"user":"alice"`) || strings.Contains(log, "wonder") {
			t.Errorf("the log: %s", log)
		}
	})
}

package auth

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"golang.org/x/crypto/bcrypt"
)

// Who guesses waits for a turn; who has been let in before does not.
func TestGuessesTakeTurns(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("wonder"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, append([]byte("alice:"), hash...), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		users, err := LoadUsers(file, nil)
		if err != nil || !users.Check("alice", "wonder") {
			t.Fatal("not let in", err)
		}
		for range cap(users.hashing) {
			users.hashing <- struct{}{}
		}
		done := make(chan bool, 2)
		go func() { done <- users.Check("alice", "guess") }()
		go func() { done <- users.Check("nobody", "guess") }()
		synctest.Wait()
		if len(done) > 0 || !users.Check("alice", "wonder") {
			t.Errorf("%d guesses did not wait", len(done))
		}
		for range cap(users.hashing) {
			<-users.hashing
		}
		for range 2 {
			if <-done {
				t.Error("let in with a guess")
			}
		}
	})
}

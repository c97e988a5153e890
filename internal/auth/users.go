package auth

import (
	"bufio"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// Users are the names and passwords of a file as "htpasswd -B" writes it.
// Its methods are safe for concurrent use.
//
// Ironic: [DEFAULT]http_basic_auth_user_file, which takes bcrypt only, too.
type Users struct {
	file   *watched[*passwords]
	absent []byte // compared with when there is no such user, so that this takes as long

	// One token for each check that hashes: strangers who guess must not take the
	// processors from the work on nodes, and the locks with them.
	hashing chan struct{}
}

// passwords are those of one version of the file.
type passwords struct {
	hashes map[string][]byte

	// A check costs a good part of 0.1 s by design. So what was right once is
	// remembered, as a keyed hash that is worth nothing outside this process.
	key  []byte
	mu   sync.Mutex
	good map[string][sha256.Size]byte
}

// LoadUsers reads the file. An error says which line is wrong and what to do.
func LoadUsers(file string, log *slog.Logger) (*Users, error) {
	absent, err := bcrypt.GenerateFromPassword([]byte("nobody"), bcrypt.DefaultCost)
	if err != nil {
		return nil, err
	}
	w, err := watch(log, func() (*passwords, error) { return readPasswords(file) }, file)
	if err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	return &Users{w, absent, make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/4))}, nil
}

func readPasswords(file string) (*passwords, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := &passwords{hashes: map[string][]byte{}, good: map[string][sha256.Size]byte{}, key: make([]byte, 32)}
	_, _ = rand.Read(p.key) // never fails
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("%s line %d: want NAME:HASH", file, n)
		}
		if _, err := bcrypt.Cost([]byte(hash)); err != nil {
			return nil, fmt.Errorf("%s line %d: the password of %s is not hashed with bcrypt; use htpasswd -B", file, n, name)
		}
		p.hashes[name] = []byte(hash)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(p.hashes) == 0 {
		return nil, errors.New(file + " names no user")
	}
	return p, nil
}

// Check says whether the password is that of the user.
func (u *Users) Check(name, password string) bool {
	p := u.file.current()
	hash, ok := p.hashes[name]
	if !ok {
		_ = u.compare(u.absent, password)
		return false
	}
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(password))
	sum := [sha256.Size]byte(mac.Sum(nil))
	p.mu.Lock()
	known, seen := p.good[name]
	p.mu.Unlock()
	if seen && hmac.Equal(known[:], sum[:]) {
		return true
	}
	if u.compare(hash, password) != nil {
		return false
	}
	p.mu.Lock()
	p.good[name] = sum
	p.mu.Unlock()
	return true
}

// compare hashes a password when it is its turn.
func (u *Users) compare(hash []byte, password string) error {
	u.hashing <- struct{}{}
	defer func() { <-u.hashing }()
	return bcrypt.CompareHashAndPassword(hash, []byte(password))
}

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// systemd reads what the service says to it.
func systemd(t *testing.T) (env map[string]string, said func() []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go func() { // ends with conn
		defer close(lines)
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			lines <- string(buf[:n])
		}
	}()
	return map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"}, func() []string {
		conn.Close()
		var all []string
		for text := range lines {
			all = append(all, strings.Split(text, "\n")...)
		}
		return all
	}
}

// A service over TLS with users: nobody gets in without a password, systemd
// hears how it goes, and pprof is on the admin listener only.
func TestServeSecure(t *testing.T) {
	l := newLab(t)
	dir := t.TempDir()
	cert, key := testPair(t, dir)
	hash, err := bcrypt.GenerateFromPassword([]byte("wonder"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(dir, "users")
	if err := os.WriteFile(users, append([]byte("alice:"), hash...), 0o600); err != nil {
		t.Fatal(err)
	}
	env, said := systemd(t)
	stderr := &syncBuffer{}
	p := program{in: strings.NewReader(""), out: io.Discard, err: stderr, env: func(name string) string { return env[name] }}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	address, admin := freeAddress(t), freeAddress(t)
	go func() {
		done <- p.run(ctx, []string{
			"serve", "--data-dir", filepath.Join(dir, "data"), "--listen", address, "--host", "c1", "--etcd-endpoints", l.endpoint,
			"--tls-cert-file", cert, "--tls-key-file", key, "--users-file", users, "--admin-listen", admin,
		})
	}()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	get := func(url, user string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			r.SetBasicAuth(user, "wonder")
		}
		answer, err := client.Do(r)
		if err != nil {
			return 0
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); get("https://"+address+"/readyz", "") != http.StatusOK; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not ready: %s", stderr)
		}
	}
	for end := time.Now().Add(600 * time.Millisecond); time.Now().Before(end); <-tick.C { // some watchdog intervals
	}
	for _, tt := range []struct {
		url, user string
		want      int
	}{
		{"https://" + address + "/v1/nodes", "", http.StatusUnauthorized},
		{"https://" + address + "/v1/nodes", "alice", http.StatusOK},
		{"https://" + address + "/debug/pprof/", "alice", http.StatusNotFound},
		{"http://" + admin + "/debug/pprof/", "", http.StatusOK},
		{"http://" + admin + "/v1/nodes", "", http.StatusNotFound},
	} {
		if got := get(tt.url, tt.user); got != tt.want {
			t.Errorf("%s as %q: %d, want %d", tt.url, tt.user, got, tt.want)
		}
	}
	checkSecureVerbs(t, dir, address, cert)
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("serve ended with %d: %s", code, stderr)
	}
	lines := said()
	if len(lines) == 0 || lines[0] != "READY=1" || lines[len(lines)-1] != "WATCHDOG=1" && lines[len(lines)-1] != "STOPPING=1" || !slices.Contains(lines, "WATCHDOG=1") || !slices.Contains(lines, "STOPPING=1") {
		t.Errorf("systemd heard %q", lines)
	}
	if strings.Contains(stderr.String(), "wonder") {
		t.Error("a password is in the log")
	}
}

// checkSecureVerbs asks with and without what it takes to be let in.
func checkSecureVerbs(t *testing.T, dir, address, ca string) {
	t.Helper()
	files := map[string]string{"right": "wonder\n", "wrong": "land\n"}
	for name, text := range files {
		files[name] = filepath.Join(dir, name)
		if err := os.WriteFile(files[name], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--server-ca-file", ca, "--server-user", "alice", "--server-password-file", files["right"]}, exitOK, ""},
		{[]string{"--server-ca-file", ca, "--server-user", "alice", "--server-password-file", files["wrong"]}, exitFailure, "--server-user"},
		{[]string{"--server-ca-file", ca}, exitFailure, "--server-user"},
		{[]string{"--server-user", "alice", "--server-password-file", files["right"]}, exitUnreachable, "certificate"},
		{[]string{"--server-user", "alice"}, exitUsage, "belong together"},
		{[]string{"--server-cert-file", ca}, exitUsage, "belong together"},
		{[]string{"--server-cert-file", ca, "--server-key-file", ca}, exitUsage, "--server-cert-file"},
		{[]string{"--server-ca-file", files["right"]}, exitUsage, "has no certificate"},
		{[]string{"--server-ca-file", filepath.Join(dir, "nosuch")}, exitUsage, "--server-ca-file"},
		{[]string{"--server-user", "alice", "--server-password-file", filepath.Join(dir, "nosuch")}, exitUsage, "--server-password-file"},
	} {
		args := append([]string{"node", "list", "--server", "https://" + address}, tt.args...)
		if code, _, errs := runAs(t, nil, args...); code != tt.code || !strings.Contains(errs, tt.want) {
			t.Errorf("%q: got code %d and %q, want %d and %q", tt.args, code, errs, tt.code, tt.want)
		}
	}
}

func TestSecureFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--tls-cert-file", "x"},
		{"--tls-key-file", "x"},
		{"--tls-client-ca-file", "x"},
		{"--users-file", "/nowhere"},
		{"--tls-cert-file", "/nowhere", "--tls-key-file", "/nowhere"},
	} {
		stderr := &syncBuffer{}
		p := program{in: strings.NewReader(""), out: io.Discard, err: stderr, env: func(string) string { return "" }}
		args = append([]string{"serve", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0"}, args...)
		if code := p.run(t.Context(), args); code != exitUsage {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// testPair writes the certificate of Go's own test server and its key.
func testPair(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pair := s.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		key:  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

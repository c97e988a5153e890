package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/conductor-metal/conductor/internal/auth"
)

func hashed(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

// write replaces a file, with a time of its own, as an editor would.
func write(t *testing.T, file, text string, at time.Time) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file+".new", at, at); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func TestUsers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "htpasswd")
	write(t, file, "# people\n\nalice:"+hashed(t, "wonder")+"\nbob:"+strings.Replace(hashed(t, "build"), "$2a$", "$2y$", 1)+"\n", time.Now())
	users, err := auth.LoadUsers(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		user, password string
		want           bool
	}{
		{"alice", "wonder", true},
		{"alice", "wonder", true}, // remembered
		{"alice", "build", false},
		{"alice", "", false},
		{"bob", "build", true}, // as htpasswd writes it
		{"", "", false},
		{"carol", "nobody", false}, // what a missing user is compared with
		{"alice", strings.Repeat("x", 100), false},
	}
	for _, tt := range tests {
		if got := users.Check(tt.user, tt.password); got != tt.want {
			t.Errorf("%q with %q: %v", tt.user, tt.password, got)
		}
	}
}

func TestUsersRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no colon":  "alice\n",
		"no name":   ":x\n",
		"not hash":  "alice:secret\n",
		"md5":       "alice:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00\n",
		"only talk": "# nobody\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "htpasswd")
			write(t, file, text, time.Now())
			if _, err := auth.LoadUsers(file, nil); err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("error %v, want one that names the file", err)
			}
		})
	}
}

func TestCaller(t *testing.T) {
	file := filepath.Join(t.TempDir(), "htpasswd")
	write(t, file, "alice:"+hashed(t, "wonder"), time.Now())
	users, err := auth.LoadUsers(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, user, password string
		users                *auth.Users
		who                  string
		known                bool
	}{
		{"right", "alice", "wonder", users, "alice", true},
		{"wrong", "alice", "x", users, "", false},
		{"none", "", "", users, "", false},
		{"nobody is asked", "alice", "x", nil, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/v1/nodes", nil)
			if tt.user != "" {
				r.SetBasicAuth(tt.user, tt.password)
			}
			if who, known := auth.Caller(r, tt.users); who != tt.who || known != tt.known {
				t.Errorf("%q, known %v", who, known)
			}
		})
	}
}

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t *testing.T) *authority {
	a := &authority{}
	a.cert, a.key = a.make(t, "ca", time.Hour)
	return a
}

func (a *authority) make(t *testing.T, name string, life time.Duration) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.n++
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(a.n), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(life), IsCA: a.cert == nil, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// pair makes a certificate and writes it and its key.
func (a *authority) pair(t *testing.T, dir, name string, life time.Duration, at time.Time) (certFile, keyFile string) {
	t.Helper()
	cert, key := a.make(t, name, life)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	write(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})), at)
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})), at)
	return certFile, keyFile
}

func (a *authority) file(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "ca")
	write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})), time.Now())
	return file
}

func TestTLS(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	files := auth.Files{}
	files.Cert, files.Key = ours.pair(t, t.TempDir(), "server", time.Hour, time.Now())
	files.ClientCA = ours.file(t, t.TempDir())
	client := func(a *authority, name string, life time.Duration) []tls.Certificate {
		cert, key := a.pair(t, t.TempDir(), name, life, time.Now())
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{pair}
	}
	tests := []struct {
		name     string
		optional bool
		certs    []tls.Certificate
		want     string // empty: no connection
	}{
		{"a known client", false, client(ours, "alice", time.Hour), "hello alice"},
		{"without", false, nil, ""},
		{"of another authority", false, client(others, "alice", time.Hour), ""},
		{"expired", false, client(ours, "alice", -time.Hour), ""},
		{"optional, known", true, client(ours, "alice", time.Hour), "hello alice"},
		{"optional, without", true, nil, "hello "},
		{"optional, expired", true, client(ours, "alice", -time.Hour), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := files
			f.ClientOptional = tt.optional
			if got := ask(t, listen(t, f), ours, tt.certs); got != tt.want {
				t.Errorf("answered %q, want %q", got, tt.want)
			}
		})
	}
}

// A new certificate is used without a restart, and one that is half written is not.
func TestCertificateChanges(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	f := auth.Files{}
	f.Cert, f.Key = a.pair(t, dir, "first", time.Hour, time.Now().Add(-time.Hour))
	s := listen(t, f)
	name := func() string {
		conn, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	eventually := func(want string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); name() != want; {
			if time.Now().After(end) {
				t.Fatalf("still serves %q, want %q", name(), want)
			}
		}
	}
	eventually("first")
	write(t, f.Cert, "half", time.Now().Add(-time.Minute))
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); {
		if got := name(); got != "first" {
			t.Fatalf("serves %q while the file makes no sense", got)
		}
	}
	a.pair(t, dir, "second", time.Hour, time.Now())
	eventually("second")
}

func listen(t *testing.T, f auth.Files) *httptest.Server {
	t.Helper()
	config, err := auth.TLS(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := auth.Caller(r, nil)
		fmt.Fprint(w, "hello ", who)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Listener = tls.NewListener(s.Listener, config)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func ask(t *testing.T, s *httptest.Server, ca *authority, certs []tls.Certificate) string {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: certs}}
	defer tr.CloseIdleConnections()
	r, err := (&http.Client{Transport: tr}).Get(strings.Replace(s.URL, "http:", "https:", 1))
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

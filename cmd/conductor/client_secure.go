package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/spf13/pflag"
)

// clientSecurity is how a client proves who it is, and knows whom it talks to. It
// is the transport of its requests.
type clientSecurity struct {
	ca, cert, key      string
	user, passwordFile string

	once     sync.Once
	err      error // of the files
	password string
	base     http.RoundTripper
}

func (s *clientSecurity) flags(f *pflag.FlagSet) {
	f.StringVar(&s.ca, "server-ca-file", "", "file with the certificates that the conductor's is checked against (none: those of the system)")
	f.StringVar(&s.cert, "server-cert-file", "", "file with our certificate for the conductor")
	f.StringVar(&s.key, "server-key-file", "", "file with the key of --server-cert-file")
	f.StringVar(&s.user, "server-user", "", "who we are to the conductor")
	f.StringVar(&s.passwordFile, "server-password-file", "", "file with the password of --server-user")
}

// RoundTrip sends a request with what proves who we are.
func (s *clientSecurity) RoundTrip(r *http.Request) (*http.Response, error) {
	s.once.Do(func() { s.err = s.load() })
	if s.err != nil {
		return nil, usage(s.err)
	}
	if s.user != "" {
		r = r.Clone(r.Context())
		r.SetBasicAuth(s.user, s.password)
	}
	return s.base.RoundTrip(r)
}

// load reads the files, when the first request needs them.
func (s *clientSecurity) load() error {
	s.base = http.DefaultTransport
	switch {
	case (s.cert == "") != (s.key == ""):
		return errors.New("--server-cert-file and --server-key-file belong together")
	case (s.user == "") != (s.passwordFile == ""):
		return errors.New("--server-user and --server-password-file belong together")
	case s.user != "":
		text, err := os.ReadFile(s.passwordFile)
		if err != nil {
			return fmt.Errorf("--server-password-file: %w", err)
		}
		s.password, _, _ = strings.Cut(strings.TrimRight(string(text), "\r\n"), "\n")
	}
	if s.ca == "" && s.cert == "" {
		return nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.ca != "" {
		text, err := os.ReadFile(s.ca)
		if err != nil {
			return fmt.Errorf("--server-ca-file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("--server-ca-file: %s has no certificate", s.ca)
		}
	}
	if s.cert != "" {
		pair, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return fmt.Errorf("--server-cert-file: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	own := http.DefaultTransport.(*http.Transport).Clone()
	own.TLSClientConfig = config
	s.base = own
	return nil
}

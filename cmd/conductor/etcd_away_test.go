package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
)

func TestWhyAway(t *testing.T) {
	plain := httptest.NewServer(nil)
	t.Cleanup(plain.Close)
	serve := func(config *tls.Config) *httptest.Server {
		s := httptest.NewUnstartedServer(nil)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.EnableHTTP2, s.TLS = true, config
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	secure, strict := serve(nil), serve(&tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12})
	gone := httptest.NewServer(nil)
	gone.Close()
	roots := func(s *httptest.Server) *tls.Config {
		c := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		c.RootCAs.AddCert(s.Certificate())
		return c
	}
	named := roots(secure)
	named.ServerName = "another.example"
	for _, c := range []struct {
		name      string
		config    *tls.Config
		endpoints string
		want      string
	}{
		{"nobody listens", nil, gone.URL, "connection refused"},
		{"there", roots(secure), secure.URL, ""},
		{"one of two is there", roots(secure), gone.URL + " " + secure.URL, ""},
		{"without a scheme", roots(secure), secure.Listener.Addr().String(), ""},
		{"there without TLS", nil, plain.URL, ""},
		{"another authority", &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}, secure.URL, "unknown authority (is --etcd-cacert"},
		{"another name", named, secure.URL, "another.example (reach it by a name"},
		{"no certificate of ours", roots(strict), strict.URL, "(it wants another certificate of ours: see --etcd-cert"},
		{"TLS to one without", roots(secure), strings.Replace(plain.URL, "http", "https", 1), "write http://"},
		{"no TLS to one with", nil, strings.Replace(secure.URL, "https", "http", 1), "write https://"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if err := whyAway(t.Context(), clientv3.Config{Endpoints: strings.Fields(c.endpoints), TLS: c.config}); err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	o := etcdOptions{endpoints: []string{gone.URL}, prefix: lease.DefaultRoot, answerIn: 100 * time.Millisecond}
	if _, err := o.connect(t.Context()); !errors.Is(err, errUnreachable) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("connect: %v", err)
	}
}

package main

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/spf13/pflag"

	"github.com/conductor-metal/conductor/internal/auth"
)

// secureOptions say who may call, and how.
type secureOptions struct {
	tls   auth.Files
	peers string
	users string
	admin string
}

func (o *secureOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.tls.Cert, "tls-cert-file", "", "serve HTTPS with the certificate in this file; read anew when it changes")
	f.StringVar(&o.tls.Key, "tls-key-file", "", "file with the key of --tls-cert-file")
	f.StringVar(&o.tls.ClientCA, "tls-client-ca-file", "", "let clients in with a certificate that those in this file have signed")
	f.StringVar(&o.peers, "peer-ca-file", "", "file with the certificates that other conductors' are checked against (none: the system's)")
	f.StringVar(&o.users, "users-file", "", "let users of this file in, with their password; as \"htpasswd -B\" writes it")
	f.StringVar(&o.admin, "admin-listen", "", "address for /debug/pprof; keep it to yourself")
}

func (o *secureOptions) check() error {
	switch {
	case (o.tls.Cert == "") != (o.tls.Key == ""):
		return usage(errors.New("--tls-cert-file and --tls-key-file belong together"))
	case o.tls.ClientCA != "" && o.tls.Cert == "":
		return usage(errors.New("--tls-client-ca-file needs --tls-cert-file"))
	}
	return nil
}

// secure reads the files, and puts TLS in front of the listener if there is a certificate.
func (s *service) secure(l net.Listener) (net.Listener, error) {
	o := s.o.secure
	if o.users != "" {
		users, err := auth.LoadUsers(o.users, s.log)
		if err != nil {
			return nil, usage(err)
		}
		s.users = users
	}
	if o.tls.Cert == "" {
		return l, nil
	}
	o.tls.ClientOptional = o.users != "" // a password will do instead
	config, err := auth.TLS(o.tls, s.log)
	if err != nil {
		return nil, usage(err)
	}
	return tls.NewListener(l, config), nil
}

// startAdmin serves what is for the people who run the service only.
func (s *service) startAdmin() error {
	if s.o.secure.admin == "" {
		return nil
	}
	l, err := net.Listen("tcp", s.o.secure.admin)
	if err != nil {
		return usage(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	s.background("admin listener", &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}, l)
	return nil
}

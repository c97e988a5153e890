package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// whyAway tries the endpoints of a client that had no answer, and says why there is none, which the
// client itself keeps to itself. It is nil if one can be reached. It takes a second at most.
func whyAway(ctx context.Context, c clientv3.Config) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var why error
	for _, endpoint := range c.Endpoints {
		scheme, address, found := strings.Cut(endpoint, "://")
		if !found {
			scheme, address = "", endpoint
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			err = greet(ctx, conn, address, c.TLS, scheme == "http" || c.TLS == nil)
			_ = conn.Close()
		}
		if err == nil {
			return nil
		}
		why = cmp.Or(why, err)
	}
	return why
}

// greet finds out whether TLS, or no TLS, is what is spoken at the other end.
func greet(ctx context.Context, conn net.Conn, address string, config *tls.Config, plain bool) error {
	if plain {
		if tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) == nil { //nolint:gosec // nothing is said to it
			return errors.New("it speaks TLS: write https:// before its address, and see --etcd-cacert")
		}
		return nil
	}
	config = config.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	config.NextProtos = []string{"h2"}
	secure := tls.Client(conn, config)
	err := secure.HandshakeContext(ctx)
	if err == nil { // what it thinks of our certificate comes after that
		_ = secure.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err = secure.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
	}
	if err != nil {
		return advise(err)
	}
	return nil
}

// advise says what to do about a handshake that did not come off.
func advise(err error) error {
	hint := ""
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		hint = " (is --etcd-cacert the authority of its certificate?)"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		hint = " (reach it by a name of its certificate)"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, io.EOF) {
		hint = " (if it speaks no TLS, write http:// before its address)"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		hint = " (it wants another certificate of ours: see --etcd-cert and --etcd-key)"
	}
	return fmt.Errorf("TLS handshake: %w%s", err, hint)
}

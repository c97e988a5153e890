package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates, and keeps them as files.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its own certificate
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil
	a.file, _ = a.issue(name, a.cert, time.Hour)
	return a
}

// issue signs a certificate that began an hour ago and ends after a time, which may
// have passed, and returns the files of the certificate and its key. A file that is
// there is replaced. The first one is the authority's own.
func (a *authority) issue(file string, cert *x509.Certificate, end time.Duration) (crt, key string) {
	a.t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.key == nil {
		a.key = secret
	}
	if cert.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		a.t.Fatal(err)
	}
	cert.NotBefore, cert.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(end)
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &secret.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		a.t.Fatal(err)
	}
	write := func(ending, kind string, der []byte) string {
		path := filepath.Join(a.dir, file+ending)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			a.t.Fatal(err)
		}
		return path
	}
	return write(".crt", "CERTIFICATE", der), write(".key", "PRIVATE KEY", bytes)
}

// client is a certificate of somebody who calls.
func (a *authority) client(name string, end time.Duration) (crt, key string) {
	a.t.Helper()
	return a.issue(name, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, end)
}

// TestCertificates has users of etcd prove with certificates who they are.
func TestCertificates(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "ca"), newAuthority(t, "another ca")
	crt, key := ca.issue("etcd", &x509.Certificate{
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, time.Hour)
	e := startGuarded(t, "https", "--cert-file", crt, "--key-file", key, "--client-cert-auth", "--trusted-ca-file", ca.file)
	as := func(by *authority, name string, end time.Duration) someone {
		t.Helper()
		crt, key := by.client(name, end)
		return someone{e: e, ca: ca.file, crt: crt, key: key}
	}
	admin := as(ca, "root", time.Hour)
	eventually(t, 20*time.Second, "etcd is healthy", func() error {
		if r := admin.run("etcdctl", "endpoint", "health"); r.code != 0 {
			return errNotYet
		}
		return nil
	})
	admin.may("roles", "c1=conductor", "olga=operator", "vera=viewer")
	admin.may("roles", "--enable-auth")

	// The first certificate of the conductor ends soon, and is replaced in time.
	const short = 15 * time.Second
	works, ends := as(ca, "c1", short), time.Now().Add(short)
	c := serve(t, "c1", append(works.flags(), "--lease-ttl", "20s", "--fake-delay", "power=0.2")...)
	as(ca, "c1", time.Hour)
	checkWork(t, c)
	operates := as(ca, "olga", time.Hour)
	checkOperator(t, operates, c)
	before := sessionOf(admin, "c1")

	refused := func(s someone, want string) {
		t.Helper()
		s.e = e
		if r := s.run("lock", "list", "--etcd-timeout", "3s"); r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("lock list: %s, want it refused with %q", r, want)
		}
	}
	refused(as(ca, "nobody", time.Hour), "permission denied")
	refused(as(ca, "expired", -time.Minute), "does not answer")
	refused(as(other, "olga", time.Hour), "does not answer")
	refused(someone{ca: ca.file}, "does not answer")
	refused(someone{ca: other.file, crt: operates.crt, key: operates.key}, "does not answer")
	viewer := as(ca, "vera", time.Hour)
	viewer.may("etcdctl", "get", "--prefix", root+"locks/")
	viewer.mayNot("etcdctl", "put", root+"locks/x/exclusive/y", "z")
	viewer.mayNot("etcdctl", "get", "--prefix", root+"nodes/")

	// When all have to come again, the old certificate is of no use to anybody.
	eventually(t, short, "the first certificate has ended", func() error {
		if time.Now().Before(ends) {
			return errNotYet
		}
		return nil
	})
	e.members[0].kill()
	e.members[0].start(t)
	c.ready(20 * time.Second)
	checkWork(t, c)
	checkWoken(t, operates, c)
	if now := sessionOf(admin, "c1"); now != before {
		t.Errorf("the session was %v, and is %v", before, now)
	}
	if out := operates.may("audit"); !cleanAudit.MatchString(out) {
		t.Errorf("audit: %s", out)
	}
	if c.stop() != 0 {
		t.Error("the conductor did not stop in order")
	}
}

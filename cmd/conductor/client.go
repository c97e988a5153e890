package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/noauth"
	"github.com/spf13/pflag"

	"github.com/conductor-metal/conductor/pkg/lease"
)

const (
	defaultServer  = "http://127.0.0.1:6385"
	defaultTimeout = 30 * time.Second
)

// apiMinor is the minor version of the API that these verbs were written for. An
// older server is spoken to in the newest version that it has.
const apiMinor = 98

// apiClient talks to the API of a conductor by gophercloud, whose baremetal
// packages nodes and ports do what they can. do is for what they lack: lists
// (they never see a second page), portgroups, volumes, traits, history, events
// and locks. Everything asks to wait for a lock with the header Prefer, as
// nothing in gophercloud knows of ?wait=.
type apiClient struct {
	server   address
	lockWait patience
	timeout  time.Duration
	security clientSecurity

	older atomic.Int32 // the newest minor version of a server that is older; 0: it is not
}

func (c *apiClient) serverFlags(f *pflag.FlagSet) {
	c.server = defaultServer
	f.Var(&c.server, "server", "URL of a conductor; any one will do")
	c.security.flags(f)
	f.DurationVar(&c.timeout, "timeout", defaultTimeout, "how long an answer may take, besides waiting for a lock")
}

func (c *apiClient) flags(f *pflag.FlagSet) {
	c.serverFlags(f)
	c.lockWait = patience(2 * time.Second) // as the API waits by itself
	f.Var(&c.lockWait, "lock-wait", "how long to wait for the lock of a node that is locked")
}

// address is a flag with the URL of a server.
type address string

// Type is shown in the help.
func (a *address) Type() string { return "url" }

func (a *address) String() string { return string(*a) }

// Set takes a URL with a scheme and a host.
func (a *address) Set(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q: want a URL such as %s", text, defaultServer)
	}
	*a = address(strings.TrimSuffix(strings.TrimRight(text, "/"), "/v1"))
	return nil
}

// api is the client that gophercloud's functions want.
func (c *apiClient) api() *gophercloud.ServiceClient {
	sc, err := noauth.NewBareMetalNoAuth(noauth.EndpointOpts{IronicEndpoint: c.server.String() + "/v1"})
	if err != nil {
		panic(err) // there is no address: a bug in the caller
	}
	sc.HTTPClient = http.Client{Timeout: c.timeout + c.wait(), Transport: &c.security}
	sc.UserAgent.Prepend("conductor/" + version)
	sc.RetryFunc = c.failed
	sc.MoreHeaders = map[string]string{"Prefer": "wait=" + preferred(c.wait())}
	sc.Microversion = c.microversion()
	return sc
}

func (c *apiClient) microversion() string {
	minor := int32(apiMinor)
	if older := c.older.Load(); older != 0 {
		minor = older
	}
	return "1." + strconv.Itoa(int(minor))
}

// preferred is a time as RFC 7240 has it, in seconds, or in our own way if it has
// fractions.
func preferred(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10)
	}
	return d.String()
}

// do sends a request with an optional body and reads the answer, if into is not nil.
func (c *apiClient) do(ctx context.Context, method, path string, body, into any) error {
	_, err := c.api().Request(ctx, method, c.server.String()+path, &gophercloud.RequestOpts{
		JSONBody: body, JSONResponse: into,
		OkCodes: []int{http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent},
	})
	return err
}

// failed is the one door for errors of requests: what gophercloud has met becomes
// an error that exitCode knows. It returns nil if the request is worth another
// try, which is the case once, when the server is older than we are.
func (c *apiClient) failed(_ context.Context, _, _ string, o *gophercloud.RequestOpts, err error, _ uint) error {
	answer, ok := errors.AsType[gophercloud.ErrUnexpectedResponseCode](err)
	if !ok {
		return c.unanswered(err)
	}
	if answer.Actual == http.StatusNotAcceptable && c.stepBack(o.MoreHeaders, answer.ResponseHeader) {
		return nil
	}
	return refusal(answer.Actual, answer.Body)
}

// stepBack asks for the server's newest version if that is older than the one
// that was asked for.
func (c *apiClient) stepBack(asked map[string]string, answer http.Header) bool {
	const header = "X-OpenStack-Ironic-API-Version" // as gophercloud spells it
	newest := minorOf(answer.Get("X-OpenStack-Ironic-API-Maximum-Version"))
	if newest < 1 || newest >= minorOf(asked[header]) {
		return false
	}
	c.older.Store(newest)
	asked[header], asked["OpenStack-API-Version"] = c.microversion(), "baremetal "+c.microversion()
	return true
}

// minorOf is N of "1.N", and 0 of anything else.
func minorOf(version string) int32 {
	n, err := strconv.ParseInt(strings.TrimPrefix(version, "1."), 10, 31)
	if err != nil {
		return 0
	}
	return int32(n)
}

// wait is --lock-wait; for ever is as long as a conductor grants.
func (c *apiClient) wait() time.Duration {
	if time.Duration(c.lockWait) == lease.Patient {
		return 24 * time.Hour
	}
	return time.Duration(c.lockWait)
}

func (c *apiClient) unanswered(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL, which is told below
	}
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, kind := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, errUsage):
		return err
	case syntax || kind:
		return fmt.Errorf("%s is no conductor, or of another version: %w", c.server, err)
	case errors.Is(err, context.DeadlineExceeded):
		return &kindError{errTimeout, fmt.Errorf("the conductor at %s does not answer within %s (see --timeout)", c.server, c.timeout+c.wait())}
	}
	return &kindError{errUnreachable, fmt.Errorf("the conductor at %s does not answer: %w (--server says where one is, \"conductor serve\" starts one)",
		c.server, err)}
}

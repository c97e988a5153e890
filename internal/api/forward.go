package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/conductor-metal/conductor/internal/cluster"
	"github.com/conductor-metal/conductor/pkg/node"
)

// The headers of a request that another conductor has handed on.
const (
	headerForwarded = "X-Conductor-Forwarded-By" // its host name
	headerUser      = "X-Conductor-User"         // who called it, with a certificate that cannot be handed on
)

// Cluster is what the interface must know of the other conductors.
type Cluster struct {
	// Members follows them. nil: there is nobody else, and all work is done here.
	Members *cluster.Members
	// Transport carries requests to them; nil: http.DefaultTransport.
	Transport http.RoundTripper
	// Draining says whether this conductor takes no new work; nil: it does take it.
	Draining func() bool
}

func (c Cluster) draining() bool { return c.Draining != nil && c.Draining() }

// conductorOf is the conductor that a node prefers, "" if none serves it.
func (c *call) conductorOf(n *node.Node) string {
	if c.cfg.Cluster.Members == nil {
		return ""
	}
	v, _ := c.cfg.Cluster.Members.View()
	m, _ := v.Preferred(n)
	return m.Host
}

// routed makes a change of one node the work of the conductor that the node
// prefers. If that one cannot be reached it is done here: the node's lock decides
// who works on a node, never the way that a request took.
func routed(do route) route {
	return func(ctx context.Context, c *call) error {
		if c.cfg.Cluster.Members == nil {
			return do(ctx, c)
		}
		n, err := c.node(ctx)
		if err != nil {
			return err
		}
		v, changed := c.cfg.Cluster.Members.View()
		draining := c.cfg.Cluster.draining()
		peer, ok := v.Preferred(n)
		switch {
		case c.r.Header.Get(headerForwarded) != "" && draining: // two that have just begun to drain
			return refuse(errDraining, "The conductor %s takes no new work.", c.cfg.Host)
		case c.r.Header.Get(headerForwarded) != "":
			return do(ctx, c) // others see other members for a moment; once is enough
		case ok && peer.Host == c.cfg.Host, !draining && (!ok || peer.API == ""):
			return do(ctx, c)
		case !ok:
			return refuse(errDraining, "The conductor %s takes no new work, and there is no other for node %s.", c.cfg.Host, n.UUID)
		}
		here, err := c.forward(ctx, n, peer, changed)
		if !here {
			return err
		}
		if draining {
			return refuse(errDraining, "The conductor %s takes no new work, and %s cannot be reached.", c.cfg.Host, peer.Host)
		}
		c.cfg.Logger.WarnContext(ctx, "the preferred conductor cannot be reached", "node", n.UUID, "conductor", peer.Host, "err", err)
		return do(ctx, c)
	}
}

// forward has a request answered by another conductor. here says that it never
// got there, and err why not.
func (c *call) forward(ctx context.Context, n *node.Node, peer cluster.Member, changed <-chan struct{}) (here bool, err error) {
	body, err := c.body()
	if err != nil {
		return false, err
	}
	c.r.Body = io.NopCloser(bytes.NewReader(body)) // for ourselves, if it comes to that
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := c.whileAlive(ctx, peer, changed, cancel)
	defer stop()
	r, err := http.NewRequestWithContext(ctx, c.r.Method, strings.TrimSuffix(peer.API, "/")+c.r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return true, err
	}
	r.Header = handedOn(c.r.Header)
	r.Host = c.r.Host // which links in the answer begin with
	r.Header.Set(headerForwarded, c.cfg.Host)
	r.Header.Set(headerRequestID, toldOf(ctx).id)
	if c.user() != "" { // whatever else the header says: a certificate counts more than a password
		r.Header.Set(headerUser, c.user())
	}
	transport := c.cfg.Cluster.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	answer, err := transport.RoundTrip(r)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		c.metrics.forwarded.WithLabelValues(unreachable).Inc()
		return true, err
	}
	if err != nil {
		c.metrics.forwarded.WithLabelValues(unanswered).Inc()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return false, refuse(errUnanswered, "The conductor %s, which node %s prefers, has not answered: %v. A change that was asked for may have been made or not: read before you ask for it again.", peer.Host, n.UUID, err)
	}
	defer answer.Body.Close()
	c.metrics.forwarded.WithLabelValues(answered).Inc()
	maps.Copy(c.w.Header(), handedOn(answer.Header))
	c.w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(c.w, answer.Body)
	return false, nil
}

var errPeerGone = errors.New("it is gone")

// whileAlive ends a request when the conductor that it went to is gone.
func (c *call) whileAlive(ctx context.Context, peer cluster.Member, changed <-chan struct{}, end context.CancelCauseFunc) (stop func()) {
	done := make(chan struct{})
	go func() { // ends with the request
		defer close(done)
		for {
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
			var v *cluster.View
			v, changed = c.cfg.Cluster.Members.View()
			if now, ok := v.Member(peer.Host); !ok || now.Epoch != peer.Epoch {
				end(fmt.Errorf("conductor %s: %w", peer.Host, errPeerGone))
				return
			}
		}
	}()
	return func() {
		end(nil)
		<-done
	}
}

// ofConnection are headers that belong to one connection and not to the request. RFC 9110, 7.6.1.
var ofConnection = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

func handedOn(h http.Header) http.Header {
	out := h.Clone()
	for _, names := range h["Connection"] {
		for name := range strings.SplitSeq(names, ",") {
			delete(out, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	for _, name := range ofConnection {
		delete(out, name)
	}
	delete(out, headerUser) // is ours to say
	return out
}

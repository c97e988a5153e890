package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// lockVerbs is what the verbs on locks share. They talk to etcd, so that they
// work when no conductor does.
type lockVerbs struct {
	program
	etcd   etcdOptions
	output output
}

func (p program) lockCommand() *cobra.Command {
	l := &lockVerbs{program: p}
	c := group("lock", "Look at the locks of nodes, take them and break them, in etcd itself",
		l.listCommand(), l.showCommand(), l.watchCommand(), l.breakCommand(), l.runCommand())
	l.etcd.clientFlags(c.PersistentFlags())
	l.output.flags(c.PersistentFlags(), p.out)
	return c
}

// keyspace is an open connection, and the locks and nodes behind it.
type keyspace struct {
	client *clientv3.Client
	locks  lease.Locks
	nodes  *node.Store
}

// with connects, and runs fn with what it has found.
func (l *lockVerbs) with(ctx context.Context, fn func(keyspace) error) error {
	client, err := l.etcd.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return unanswered(l.etcd.endpoints, fn(keyspace{
		client: client,
		locks:  lease.Locks{Client: client, Root: l.etcd.root()},
		nodes:  node.NewStore(client, l.etcd.root()),
	}))
}

// timed is ctx with the time that etcd may take for what follows.
func (l *lockVerbs) timed(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, l.etcd.answerIn)
}

// find resolves a node's name. A uuid stands for itself: what is left of a
// deleted node can still be looked at.
func (c keyspace) find(ctx context.Context, ref string) (name, uuid string, err error) {
	n, err := c.nodes.Find(ctx, ref)
	if err == nil {
		return n.Name, n.ID(), nil
	}
	if node.IsUUID(ref) {
		canonical := node.Node{UUID: node.ID(ref)}
		canonical.Normalize()
		return "", canonical.ID(), nil
	}
	return "", "", err
}

// names answers the names of all nodes by uuid: none, and a word about it, to who may not read them.
func (l *lockVerbs) names(ctx context.Context, k keyspace) (map[string]string, error) {
	names := map[string]string{}
	page, err := k.nodes.Nodes(ctx, node.ListRequest[*node.Node]{})
	if errors.Is(err, rpctypes.ErrPermissionDenied) {
		fmt.Fprintln(l.err, "conductor: uuids in place of names: etcd does not let this user read nodes")
		return names, nil
	}
	if err != nil {
		return nil, err
	}
	for _, n := range page.Items {
		names[n.ID()] = n.Name
	}
	return names, nil
}

// lockEntry is an entry of a queue as it is shown.
type lockEntry struct {
	Mode     lease.Mode `json:"mode"`
	Holder   string     `json:"holder,omitempty"`
	Purpose  string     `json:"purpose,omitempty"`
	Since    time.Time  `json:"since,omitzero"`
	Task     string     `json:"task,omitempty"`
	User     string     `json:"user,omitempty"`
	Foreign  bool       `json:"foreign,omitempty"`
	Key      string     `json:"key"`
	Revision int64      `json:"revision"`
	Lease    string     `json:"lease,omitempty"`
	TTL      string     `json:"ttl,omitempty"`
	Left     string     `json:"ttl_left,omitempty"`
	FreeBy   string     `json:"free_at_latest_in,omitempty"` // if the holder is dead
}

func shownEntry(e lease.Entry) lockEntry {
	s := lockEntry{
		Mode: e.Mode, Holder: e.Holder, Purpose: e.Purpose, Since: e.Since, Task: e.Task, User: e.User,
		Foreign: e.Foreign, Key: e.Key, Revision: e.Create,
	}
	if e.Lease != 0 {
		s.Lease = fmt.Sprintf("%x", e.Lease)
	}
	if e.TTL > 0 {
		s.TTL = e.TTL.String()
	}
	return s
}

func (e lockEntry) who() string {
	if e.Holder == "" {
		return "unknown (foreign)"
	}
	return e.Holder
}

// electionTime is what a new leader of etcd adds to leases.
const electionTime = 2 * time.Second

// leaseLeft asks how long a lease lives on if it is not renewed, and what it was granted.
func (c keyspace) leaseLeft(ctx context.Context, id clientv3.LeaseID) (left, granted time.Duration, err error) {
	r, err := c.client.TimeToLive(ctx, id)
	if err != nil {
		return 0, 0, err
	}
	return time.Duration(max(r.TTL, 0)) * time.Second, time.Duration(r.GrantedTTL) * time.Second, nil
}

// me is who types this, for the records.
func me() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		return name + "@" + host
	}
	return name
}

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Order is the order that a conductor drain. It stands below drains/ until it is
// taken back, also while the conductor is away: one that starts finds it.
type Order struct {
	Host  string    `json:"-"`
	By    string    `json:"by,omitempty"`
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since"`
}

// Drains are the orders to drain.
type Drains struct {
	Client *clientv3.Client
	Root   string
}

func (d Drains) key(host string) string { return d.Root + "drains/" + host }

// Put orders a conductor to drain. An order that stands already stays as it is.
func (d Drains) Put(ctx context.Context, o Order) error {
	if o.Since.IsZero() {
		o.Since = time.Now().UTC().Truncate(time.Millisecond)
	}
	value, err := json.Marshal(o)
	if err != nil {
		return err
	}
	key := d.key(o.Host)
	_, err = d.Client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, string(value))).Commit()
	if err != nil {
		return fmt.Errorf("order to drain: %w", err)
	}
	return nil
}

// Take takes an order back, if there is one.
func (d Drains) Take(ctx context.Context, host string) error {
	if _, err := d.Client.Delete(ctx, d.key(host)); err != nil {
		return fmt.Errorf("order to drain: %w", err)
	}
	return nil
}

// Find answers the order for a host, nil if there is none.
func (d Drains) Find(ctx context.Context, host string) (*Order, error) {
	o, _, err := d.read(ctx, host)
	return o, err
}

// All answers all orders by host.
func (d Drains) All(ctx context.Context) (map[string]Order, error) {
	r, err := d.Client.Get(ctx, d.key(""), clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("orders to drain: %w", err)
	}
	all := make(map[string]Order, len(r.Kvs))
	for _, kv := range r.Kvs {
		o := Order{Host: strings.TrimPrefix(string(kv.Key), d.key(""))}
		_ = json.Unmarshal(kv.Value, &o) // the key alone is the order
		all[o.Host] = o
	}
	return all, nil
}

func (d Drains) read(ctx context.Context, host string) (*Order, int64, error) {
	r, err := d.Client.Get(ctx, d.key(host))
	if err != nil {
		return nil, 0, fmt.Errorf("order to drain: %w", err)
	}
	if len(r.Kvs) == 0 {
		return nil, r.Header.Revision, nil
	}
	o := &Order{Host: host}
	_ = json.Unmarshal(r.Kvs[0].Value, o) // the key alone is the order
	return o, r.Header.Revision, nil
}

// Follow calls heed with the order for a host, nil if there is none, at first and
// whenever that changes, until ctx ends. An error of heed is no order obeyed: it
// is called again soon. It does not return before heed has.
func (d Drains) Follow(ctx context.Context, host string, heed func(context.Context, *Order) error) {
	for ctx.Err() == nil {
		o, rev, err := d.read(ctx, host)
		if err == nil {
			err = heed(ctx, o)
		}
		if err == nil {
			err = d.changed(ctx, host, rev)
		}
		if err == nil {
			continue
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

var errStream = errors.New("the stream ended")

// changed waits for a change after a revision.
func (d Drains) changed(ctx context.Context, host string, rev int64) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for resp := range d.Client.Watch(ctx, d.key(host), clientv3.WithRev(rev+1)) {
		if err := resp.Err(); err != nil {
			return err
		}
		if len(resp.Events) > 0 {
			return nil
		}
	}
	return errStream
}

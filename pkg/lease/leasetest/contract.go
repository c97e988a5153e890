package leasetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Case is one rule of etcd that the locks stand on.
type Case struct {
	Name string

	// Run fails t unless the etcd behind the client keeps the rule. It uses
	// only keys below prefix, but may compact the store, so it must not run
	// beside another case. It waits for seconds where leases have to expire.
	Run func(t *testing.T, c *clientv3.Client, prefix string)
}

// Contract runs all [Cases], one after the other, each with a client from
// open and a prefix of its own. The etcd need not be new, but nobody else
// may use it meanwhile.
func Contract(t *testing.T, open func(t *testing.T) *clientv3.Client) {
	t.Helper()
	for i, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			c.Run(t, open(t), fmt.Sprintf("/contract/%d/%d/", time.Now().UnixNano(), i))
		})
	}
}

// Cases returns the contract, case by case, for those who need to run each
// in a synctest bubble.
func Cases() []Case {
	return slices.Concat(kvCases, txnCases, leaseCases, watchCases)
}

// scene is what most cases need: a client, keys and short words.
type scene struct {
	*testing.T
	*clientv3.Client
	ctx    context.Context
	prefix string
}

func act(f func(s scene)) func(*testing.T, *clientv3.Client, string) {
	return func(t *testing.T, c *clientv3.Client, prefix string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		f(scene{T: t, Client: c, ctx: ctx, prefix: prefix})
	}
}

func (s scene) put(key, value string, opts ...clientv3.OpOption) *clientv3.PutResponse {
	s.Helper()
	resp, err := s.Client.Put(s.ctx, s.prefix+key, value, opts...)
	s.must(err)
	return resp
}

func (s scene) get(key string, opts ...clientv3.OpOption) *clientv3.GetResponse {
	s.Helper()
	resp, err := s.Client.Get(s.ctx, s.prefix+key, opts...)
	s.must(err)
	return resp
}

func (s scene) delete(key string, opts ...clientv3.OpOption) *clientv3.DeleteResponse {
	s.Helper()
	resp, err := s.Client.Delete(s.ctx, s.prefix+key, opts...)
	s.must(err)
	return resp
}

func (s scene) txn(ops ...clientv3.Op) *clientv3.TxnResponse {
	s.Helper()
	resp, err := s.Client.Txn(s.ctx).Then(ops...).Commit()
	s.must(err)
	return resp
}

func (s scene) grant(ttl int64) clientv3.LeaseID {
	s.Helper()
	resp, err := s.Client.Grant(s.ctx, ttl)
	s.must(err)
	return resp.ID
}

func (s scene) opPut(key, value string, opts ...clientv3.OpOption) clientv3.Op {
	return clientv3.OpPut(s.prefix+key, value, opts...)
}

func (s scene) opGet(key string, opts ...clientv3.OpOption) clientv3.Op {
	return clientv3.OpGet(s.prefix+key, opts...)
}

func (s scene) opDelete(key string, opts ...clientv3.OpOption) clientv3.Op {
	return clientv3.OpDelete(s.prefix+key, opts...)
}

func (s scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// refused fails unless err is want.
func (s scene) refused(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// equal fails unless got is want.
func equal[T comparable](s scene, what string, got, want T) {
	s.Helper()
	if got != want {
		s.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// names are the keys of an answer below the prefix, joined by spaces.
func (s scene) names(resp *clientv3.GetResponse) string {
	var names []string
	for _, kv := range resp.Kvs {
		names = append(names, strings.TrimPrefix(string(kv.Key), s.prefix))
	}
	return strings.Join(names, " ")
}

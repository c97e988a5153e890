package leasetest

import (
	"testing"
	"testing/synctest"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
)

// The fake keeps the contract by the clock of a bubble.
func TestContractInBubble(t *testing.T) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := New()
				defer e.Close()
				c.Run(t, e.Client("a"), "/contract/")
			})
		})
	}
}

// The fake keeps the contract by the clock on the wall, and leaves nothing
// behind.
func TestContract(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for leases to expire")
	}
	before := goleak.IgnoreCurrent()
	Contract(t, func(t *testing.T) *clientv3.Client {
		e := New()
		t.Cleanup(e.Close)
		return e.Client("a")
	})
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

// The real etcd keeps it too: else it is not a contract, but a wish.
func TestContractOfEtcd(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real etcd")
	}
	c := startEtcd(t)
	Contract(t, func(*testing.T) *clientv3.Client { return c })
}

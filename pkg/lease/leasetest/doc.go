// Package leasetest is an etcd in memory for tests.
//
// [New] makes one, [Etcd.Client] connects to it. The client is a real
// *clientv3.Client; only the wire and the server below it are fake. Nothing
// listens, nothing is written, and time passes by the time package alone, so
// that inside a testing/synctest bubble a lease of an hour expires in no time.
package leasetest

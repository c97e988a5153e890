// Package leasetest is an etcd in memory, for tests of programs that use
// etcd and for simulations of what can go wrong between them.
//
// [New] makes an etcd, [Etcd.Client] connects to it. The client is a real
// *clientv3.Client, down to the protobuf messages; the wire and the server
// below it are fake. Nothing listens, nothing is written to disk, and the
// only clock is that of the time package. So the whole runs inside a bubble
// of testing/synctest, where a lease of an hour expires in no time, and
// everything rests while nobody asks for anything.
//
// # The server
//
// The fake keeps the rules of etcd 3.7 for the key space and its history,
// transactions, leases and watches, errors and quirks included, and counts
// the raft entries that a real etcd would need, see [Etcd.RaftEntries].
// [Contract] is these rules as tests; it runs on any etcd, and the tests of
// this package run it on the fake and on a real one. Another test sends
// thousands of random requests to both and compares all that they return.
//
// # The network
//
// Between the clients of one name and the server lies a [Network]. It
// decides about each message on its own, and about both halves of a round
// trip: a lost answer is not a lost request. Requests can be delayed beyond
// the patience of their callers, doubled, or carried out although the
// connection broke; see [Fate]. [Seeded] makes a network that does all this
// at random. [Etcd.Cut] and [Etcd.Heal] are a partition, [Etcd.Break] a reset
// connection, [Etcd.FreezeAll] a stalled server and [Etcd.Elect] a new
// leader.
//
// # Not promised
//
// There is one member: no reads that lag behind, no quorum to lose, and no
// "no leader" unless a hook returns it. There is no authentication, no quota
// and no limit on requests in flight. A watch from an old revision gets its
// history at once, not within 100 ms. Messages of one keep-alive stream may
// overtake each other if their delays differ. A test that races goroutines
// is not repeatable to the letter, even with the same seed. A watch that the
// server refuses says why in CancelReason, but Err adds the gRPC code to
// reasons that rpctypes does not know.
package leasetest

// Package lease holds named locks in etcd for as long as a process is alive and well: shared and
// exclusive, waiting in a fair queue, with upgrade and downgrade, and with a fence on each write.
//
//	s, err := lease.Open(ctx, client, lease.Config{Holder: "c1.example"})
//	...
//	l, err := s.Acquire(ctx, lease.Request{
//		Name: "node-7", Purpose: "deploy", Wait: 30 * time.Second, Read: []string{"/conductor/v1/nodes/node-7"},
//	})
//	...
//	ctx, stop := l.Bind(ctx) // ends with the lock, before another can have it
//	defer stop()
//	... work with l.Records() ...
//	err = l.Release(ctx, lease.Write{Then: []clientv3.Op{clientv3.OpPut("/conductor/v1/nodes/node-7", value)}})
//
// A Session is a process's presence in etcd. Its locks are entries on leases that it renews; when
// the process dies, they end by themselves. A Keeper opens the next session when one is lost.
// Locks looks at the queues from outside and breaks locks. Replay derives them from history.
//
// # Promises
//
//   - Exclusion: at no revision of etcd are two incompatible locks of one name granted. Anyone can
//     check it from etcd's history alone ("conductor audit" does).
//   - No late writes: Commit, Release and Downgrade write in the transaction that also proves that
//     the lock is still held. A holder that was paused, cut off or broken cannot change a record.
//   - Told first: a lock's context ends, with a cause, before etcd can give the lock to another,
//     however slow the network was. Trust counts from before a renewal was sent.
//   - Fair: first come, first served, per name; readers that arrive after a waiting writer wait
//     behind it; a release wakes only those that can now run.
//   - No stuck lock: a dead holder's locks end within its TTL and an election of etcd. No lost
//     answer, cancelled wait or crash leaves an entry that nobody owns.
//   - Visible: the keys of a queue say who holds and who waits, why and since when, in readable JSON.
//   - Cheap: one entry in etcd's log to acquire, records included, and one to release, final write
//     included; none extra to hand over, none to hold. An upgrade or downgrade is one. A change of
//     records that nobody else is at work on needs no lock, and is one in all: see Free. A session's
//     operations on different names that are ready at the same time share one.
//
// # Not promised
//
// The world outside etcd knows no fence: what was sent before the lock ended may still arrive. Give
// the Token to whoever can compare it, let commands time out, and look before you act when
// Lock.Abandoned says that the last holder's work was cut off. Fairness is per name. Locks are not
// re-entrant. Names taken one after the other can deadlock; AcquireAll takes them together. A
// clock that is set forward costs trust until the next renewal, and nothing else.
//
// docs/protocol.md has the keys and the transactions. etcd 3.5.28, 3.6.9 or 3.7.1 and later are
// required: earlier ones can renew a lease that they have revoked.
package lease

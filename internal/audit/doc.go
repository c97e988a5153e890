// Package audit proves from etcd's history alone that the locks did what they promise. It trusts no
// conductor: it replays everything below the root, revision by revision, derives from the keys who
// held each lock, and looks for what must never be:
//
//   - two holders that exclude each other, a foreign locker by its own rule included;
//   - a holder whose grant weakened or went away while its entry stood;
//   - a queue in which nobody holds the lock;
//   - a record that was written by one who did not hold its node exclusively at the revision
//     before, or without a lock while somebody held it or waited, or deleted while nobody did;
//   - tokens that do not increase from owner to owner.
//
// A record that is new and names no writer needs no lock. One that is changed and names no writer,
// or one that wrote without a lock (lease.IsFree), needs a queue that was empty.
//
// # Not promised
//
// What etcd has compacted cannot be checked; the report says from where on it could be, and what
// was compacted while the check ran. Only the writer that a record itself names is checked: a
// conductor that writes the ticket of another into a record is found when that other is not the
// owner, and not otherwise. Hardware has no history in etcd.
package audit

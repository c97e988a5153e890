// Package embedetcd runs the etcd that a conductor starts by default, so that
// one binary is a whole service and nothing else need be installed.
//
// It is a real etcd, of the version in go.mod, with one member. It listens on
// loopback, speaks the ordinary protocol, and so plain etcdctl works on it:
//
//	etcdctl --endpoints http://127.0.0.1:2379 get --prefix /conductor/
//
// Its data is an ordinary etcd data directory: etcdctl snapshots it, etcdutl
// restores it, and an etcd binary can be started on it when the conductor is
// stopped.
//
// What differs from a plain etcd, and why:
//   - No peer listener. A cluster of one has nobody to talk to, so there is no
//     second port to clash with. The peer URL that the member advertises is
//     only its name.
//   - History is compacted every ten minutes: locks are rewritten all day, and
//     an etcd that is never compacted grows until its quota stops all writes.
//   - A start defragments the database if that frees 100 MB or more. With one
//     member there is no better time.
//   - Its log goes to slog: warnings as warnings, the rest as debug.
//
// # Not promised
//
// One member means no high availability: when its process is down, so is every
// lock service that uses it. Several conductors that are to survive one another
// need an etcd of three members of their own. There is no TLS and no
// authentication, which is why it listens on loopback unless told otherwise.
//
// etcd ends the whole process when it can no longer trust its disk (a write of
// its log fails, its database is damaged). That is on purpose, there and here:
// a conductor that cannot record a lock must not act, and the leases of a dead
// process run out by themselves. Only while starting is it an error instead.
package embedetcd

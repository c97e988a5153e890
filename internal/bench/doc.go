// Package bench measures what an etcd can do: for raw puts, for etcd's own concurrency.Mutex, and
// for the locks of pkg/lease, which do equal work in turns, so that their ratios hold although the
// machine's speed changes from minute to minute.
//
//	report, err := bench.Run(ctx, client, bench.Options{Size: bench.Normal})
//
// A scenario has several works, which are ways to do the same. Each gets a slice of time in turn,
// round after round, and each round begins with another one. In a slice the workers first do one
// operation each, so that leases, watches and connections stand; then they warm up; then they are
// measured. A row of the report is the median over the rounds, also where it is a ratio: both of
// its sides come from one round.
//
// Entries in etcd's log are counted by etcd, from the end of each worker's first operation until
// all have ended, so that they are exact. CPU is that of the measured time: of this process from
// the kernel, of the servers from their metrics.
//
// # What it leaves
//
// Run writes below a prefix of its own and deletes it in the end, also when ctx ends. Its writes
// stay in etcd's history until that is compacted, which is for others to do. It looks for room
// before it begins.
//
// # Not promised
//
// Absolute figures are those of the machine, the disk and the hour. A client that shares its cores
// with the server measures both.
package bench

// Package cluster knows which conductors live, which of them a node prefers, and
// what to do when one is gone.
//
// A conductor is a member for as long as its session's key stands in etcd: the
// key is on the session's lease, so membership ends with the locks, by itself.
// That a member lives and that it takes new work are separate facts: one that is
// draining lives, keeps its locks and finishes what it does, and is no longer
// preferred by any node.
//
// The ring only routes. Any conductor may do any work that its hardware types
// allow; the node's lock alone decides who does. So two conductors that for a
// moment see different members do no harm, and neither does one that sees none.
package cluster

// Package events reads back what package task and package lease tell below
// events/: each key is one event, and never changes. The order of events is that
// of etcd's revisions, so that a reader who remembers the last revision that it
// has seen can go on from there, at any conductor, and after any compaction.
//
// # Promised
//
// Follow yields each revision that has events once, whole and in order, from the
// one after a given revision on, and no event that was stored after it began is
// left out. Whoever comes back with the last revision that it was given misses
// nothing that is still kept and gets nothing twice.
//
// # Not promised
//
// Of the time in which nobody followed, events that are not kept any more may be
// missing: those that are too old or too many (task.Config), and those of nodes
// that were deleted meanwhile, whose deletion itself is kept.
package events

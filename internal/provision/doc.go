// Package provision turns what users ask of a node into tasks: power requests
// into commands to its machine, and verbs into events of its state machine.
//
// A request is accepted or refused while the caller waits: under the node's
// exclusive lock everything that can be known is checked, what is aimed at is
// stored, and the lock goes to a worker. What the worker finds is told by the
// node's record: the state that was reached, or last_error.
//
// # Not promised
//
// A power action that is cut off, because its conductor died or its lock was
// broken, leaves target_power_state as it was. The next task on the node learns
// of it as an abandoned section and acts on the machine again.
//
// The first power action after an abandoned section of whatever kind waits for
// the dead holder's last command, and is the end of the matter if it succeeds;
// but while the node is in an unstable provision state, what was abandoned waits
// for its recovery, and each power action waits anew.
package provision

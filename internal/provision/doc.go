// Package provision turns what users ask of a node into tasks: power requests
// into commands to its machine, and verbs into events of its state machine.
//
// # How a verb becomes a state
//
// A request is accepted or refused while the caller waits: under the node's
// exclusive lock everything that can be known is checked, the new state is stored
// together with its target, and the lock goes to a worker. What the worker finds
// is told by the node's record: the state that was reached, or last_error.
//
// Two tables say it all. One has a row for each verb: its event, its checks, what
// it stores. The other has one for each flow, which is what goes on in a state
// such as cleaning: the work, how it goes on after a wait, what undoes it. The
// event decides into which flow's state a verb leads, and so which work it means.
//
// # What holds
//
//   - State and target become visible together, and a verb is accepted only when
//     they are stored.
//   - A node stands in a state that a worker must lead it out of only while there is
//     a lock, or an intent that tells the next holder of what was left. That is so
//     when the driver fails, panics or leaves a record that cannot be stored, when no
//     worker is free, when the lock is lost, and when the conductor stops or dies.
//   - Which step of a node runs is stored under the fence before it runs.
//   - What waits goes on once: each wait has a number, and a continuation is for one
//     step and one number.
//   - Limits of concurrent deployments and cleanings are the whole cluster's: a node
//     gets its place in the transaction that begins them, and gives it back in the
//     one that ends them.
//
// # Recovery
//
// Recover is for nodes whose conductor died, stopped, or lost the lock. A step
// that says that it may be run again is run again, everything else fails and says
// what was cut off. While the node is in an unstable provision state, only Recover,
// or the end of the flow, closes an abandoned section; until then each power action
// waits anew for the dead holder's last command.
//
// # Different from Ironic
//
// Unhold goes on at once, and not with the agent's next call. The abort of a
// deployment that is held ends in deploy failed with the instance's data kept. A
// service that is aborted is service failed until what it left is cleaned up, and
// active then. A heartbeat continues an inspection too.
//
// # Not promised
//
// A node whose power supply is another node's is switched without it: parents and
// children are not looked at. A configdrive that is given as an object is stored
// as one; to make a drive of it is for the deploy interface.
package provision

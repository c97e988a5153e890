// Package task gives work on a bare-metal node the right it needs, for as long as it needs it.
//
// A task is a function that runs under the lock of one node, with the node's records, its driver
// and its provision state machine at hand:
//
//	err := tasks.Exclusive(ctx, task.Request{Node: id, Purpose: "power on", Wait: 3 * time.Second},
//		func(ctx context.Context, t *task.Exclusive) error {
//			return t.Driver().Power.Set(ctx, node.PowerOn)
//		})
//
// The type of its parameter is the right: *Exclusive may change the node and command the machine,
// *Shared may look while nobody changes it, *Snapshot has no lock and a consistent read. Edit is
// for those who change the node's record alone: while nobody else is at work on the node, that
// takes no lock and is one write, guarded by the empty queue and the record's revision. A
// function that needs the exclusive lock takes *Exclusive, and the compiler refuses all others; one
// for which any right will do takes Task.
//
// # What is guaranteed
//
//   - The context that the function gets ends, with a cause, before etcd can give the lock to
//     another. Each command to the machine passes one choke point, which checks that the lock is
//     still trusted and bounds the command in time.
//   - The node and everything that belongs to it are read in the transaction that takes the lock.
//     They are written only by transactions that prove that the lock is still held, or that nobody
//     holds it.
//   - The lock is released when the function returns, fails or panics, also when the caller's
//     context has ended. Background work that the function registered takes the lock over and
//     releases it at its own end.
//   - lease.ErrLost is returned if the lock was lost, even if the function returned nil. A task
//     that is kept after its end answers ErrReleased.
//   - An error while the driver is composed or the records are read releases the lock.
//
// # What is not
//
// A machine's controller knows no fencing token: a command that is on the wire when the lock is
// lost may still land. Commands therefore set states and never toggle them, time out, and after a
// crash the next holder's first command waits for Config.LockDelay. Locks are not re-entrant:
// helpers take the task, not the node's id.
//
// The model is Ironic's conductor.task_manager; docs/ironic.md compares the two line by line.
package task

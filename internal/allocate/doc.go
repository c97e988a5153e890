// Package allocate gives nodes to those who ask for one of a resource class.
//
// An allocation is stored in the state "allocating" before its client is
// answered; a node is then looked for in the background by the conductor whose
// name it carries. Every node that fits is tried in random order, with its lock
// tried once: what is locked is passed over and tried again in the next round.
// After three rounds, or when no node fits, the allocation fails.
//
// Under the node's lock everything is checked again, and the node and the
// allocation are written in one transaction. The lock keeps others from the node,
// and the allocation's revision keeps others from the allocation: so no node goes
// to two allocations, and no allocation gets two nodes, however many conductors
// work on it.
//
// # Not promised
//
// Nobody waits in a queue: an allocation that comes later may get the last node.
// One whose conductor has died stays "allocating" until another conductor looks
// for what nobody works on.
//
// Ironic: ironic/conductor/allocations.py.
package allocate

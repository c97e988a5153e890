// Package hardware says what a machine can be asked to do, and does it.
//
// The model is Ironic's: a node has a hardware type (its driver) and one
// implementation of each of thirteen interfaces: boot, deploy, management,
// network, power; bios, console, firmware, inspect, raid, rescue, storage;
// vendor. A [Registry] knows which types and implementations are enabled and
// composes them for a node into a [Composition].
//
// # Reading and writing are two types
//
// Each interface is split into the part that only reads and the whole, which
// also commands the machine: [PowerReader] and [Power], [BIOSReader] and
// [BIOS], and so on. (*Composition).Reader gives a [Reader], which has the
// first; (*Composition).Driver gives a [Driver], which has the second. Whoever
// hands them out decides who may command; this package knows nothing of tasks
// or locks, and the compiler keeps the two apart.
//
// Both are bound to one node: no method takes one, so an operation cannot be
// given another by mistake. What a call changes in the record is written to
// the node it is bound to, in memory; saving it is the caller's business.
//
// # One choke point
//
// Every bound method passes the [Gate] before it reaches an implementation,
// and reports how it ended. The gate may refuse, may shorten the context and
// may put an [Actor] into it. A test walks over all bound methods by
// reflection with implementations that do not exist, so a method that skipped
// the gate could not hide.
//
// # What is not promised
//
// A command whose context ends may still be carried out by the machine: no
// answer means that nobody knows. The gate bounds a call in time as far as the
// implementation heeds its context; the ones in this package all do. Bound
// methods may be called by several goroutines at once only if the
// implementation and the gate allow it and nobody writes the node's record
// meanwhile.
//
// # The fake
//
// The type fake-hardware and the implementations called fake behave as
// Ironic's do: they take time when told so, keep what they are told, and
// change the record of the node. Faults can be ordered in driver_info, see
// [FaultKey].
package hardware

package api

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// The texts are Ironic's where clients look at them, and say more after that.

func lockedText(err error) string {
	held, ok := errors.AsType[*lease.HeldError](err)
	if !ok {
		return err.Error()
	}
	return fmt.Sprintf("Node %s is locked by host %s, please retry after the current operation is completed. (%v)",
		held.Queue.Name, holderName(held.Holder()), held)
}

// lockFacts tells programs what the text of a lock's error tells people.
func lockFacts(held *lease.HeldError) map[string]any {
	h := held.Holder()
	waiting := []lockEntry{}
	for _, e := range held.Queue.Waiters() {
		waiting = append(waiting, entryOf(e, false))
	}
	facts := map[string]any{
		"node": held.Queue.Name, "holder": holderName(h), "purpose": h.Purpose, "mode": h.Mode,
		"since": stampOf(h.Since), "queue": waiting, "free_by": nil,
	}
	if d := held.FreeBy(); d > 0 {
		facts["free_by"] = stampOf(time.Now().Add(d)) // at latest, if the holder is dead
	}
	return facts
}

func etcdText(error) string {
	return "etcd does not answer. A change that was asked for may have been made or not: read before you ask for it again."
}

func fullText(error) string {
	return "No lock can be taken and nothing written: " + errFull.Error() +
		". A change that was asked for may have been made or not: read before you ask for it again."
}

func lateText(err error) string {
	return "No answer in time: " + err.Error() + ". A change that was asked for may have been made or not: read before you ask for it again."
}

func internalText(error) string {
	return "An internal error happened; the log of the conductor has it under the request id of this answer."
}

func noWorkerText(err error) string {
	return "Requested action cannot be performed due to lack of free conductor workers. (" + err.Error() + ")"
}

func driverText(err error) string {
	e, ok := errors.AsType[*hardware.DriverNotFoundError](err)
	if !ok {
		return err.Error()
	}
	return fmt.Sprintf("Could not find the following driver(s) or hardware type(s): %s. (enabled: %s)", e.Driver, strings.Join(e.Valid, ", "))
}

func notFoundText(err error) string {
	e, ok := errors.AsType[*node.NotFoundError](err)
	if !ok {
		return err.Error()
	}
	kind := string(e.Kind)
	return fmt.Sprintf("%s %s could not be found.", strings.ToUpper(kind[:1])+kind[1:], cut(e.Ref, 255))
}

func inUseText(err error) string {
	e, ok := errors.AsType[*node.InUseError](err)
	if !ok {
		return err.Error()
	}
	users := "ports"
	if e.Kind == node.KindChassis {
		users = "nodes"
	}
	return fmt.Sprintf("Cannot complete the requested action because %s %s contains %s %s.", e.Kind, e.UUID, users, strings.Join(e.By, ", "))
}

// aKind names one of a kind at the beginning of a sentence.
func aKind(k node.Kind) string {
	if strings.ContainsAny(string(k[:1]), "aeiou") {
		return "An " + string(k)
	}
	return "A " + string(k)
}

// duplicateText has Ironic's words where it has a kind of error for each field.
func duplicateText(err error) string {
	e, ok := errors.AsType[*node.DuplicateError](err)
	if !ok {
		return err.Error()
	}
	switch e.Field {
	case "uuid":
		return fmt.Sprintf("%s with UUID %s already exists.", aKind(e.Kind), e.Value)
	case "address":
		return fmt.Sprintf("%s with MAC address %s already exists.", aKind(e.Kind), e.Value)
	case "instance_uuid":
		return fmt.Sprintf("Instance %s is already associated with a node, it cannot be associated with another. (node %s)", e.Value, e.Owner)
	case "boot_index":
		return fmt.Sprintf("%s with boot index '%s' for the same node already exists.", aKind(e.Kind), e.Value)
	}
	return fmt.Sprintf("%s with %s %s already exists.", aKind(e.Kind), strings.ReplaceAll(e.Field, "_", " "), e.Value)
}

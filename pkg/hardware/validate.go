package hardware

import (
	"context"
	"errors"
	"fmt"
)

// Validation is the answer of one interface to the question whether the node's
// record holds what it needs.
type Validation struct {
	Interface string
	// OK says that it does.
	OK bool
	// Reason says why not, for users.
	Reason string
	// Err is the error behind Reason, for the log.
	Err error
}

// ValidateAll asks the twelve interfaces other than vendor to validate the
// node, in alphabetical order. An error in the record or in the driver's
// abilities is its own reason; any other is told as an internal one that names
// the conductor, taken from the context's [Actor]. Ironic: GET
// /v1/nodes/{id}/validate, in which nothing is ever null.
func (r *Reader) ValidateAll(ctx context.Context) []Validation {
	return validations(ctx, []named{
		{InterfaceBIOS, r.BIOS.Validate},
		{InterfaceBoot, r.Boot.Validate},
		{InterfaceConsole, r.Console.Validate},
		{InterfaceDeploy, r.Deploy.Validate},
		{InterfaceFirmware, r.Firmware.Validate},
		{InterfaceInspect, r.Inspect.Validate},
		{InterfaceManagement, r.Management.Validate},
		{InterfaceNetwork, r.Network.Validate},
		{InterfacePower, r.Power.Validate},
		{InterfaceRAID, r.RAID.Validate},
		{InterfaceRescue, r.Rescue.Validate},
		{InterfaceStorage, r.Storage.Validate},
	})
}

type named struct {
	iface    string
	validate func(context.Context) error
}

func validations(ctx context.Context, asked []named) []Validation {
	answers := make([]Validation, 0, len(asked))
	for _, a := range asked {
		v := Validation{Interface: a.iface, OK: true}
		if err := a.validate(ctx); err != nil {
			v = Validation{Interface: a.iface, Reason: reason(ctx, err), Err: err}
		}
		answers = append(answers, v)
	}
	return answers
}

func reason(ctx context.Context, err error) string {
	if errors.Is(err, ErrInvalidParameter) || errors.Is(err, ErrUnsupported) {
		return err.Error()
	}
	host := ActorFrom(ctx).Conductor
	if host == "" {
		host = "this one"
	}
	return fmt.Sprintf("unexpected error on conductor %s: %v", host, err)
}

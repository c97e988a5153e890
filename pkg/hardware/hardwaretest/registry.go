package hardwaretest

import (
	"fmt"

	"github.com/conductor-metal/conductor/pkg/hardware"
)

// Config returns the configuration of [Registry], to be changed before it is
// given to [hardware.NewRegistry]. With a nil BMC there are no machines but the
// nodes' records.
func Config(b *BMC) hardware.Config {
	if b == nil {
		return hardware.Config{}
	}
	return hardware.Config{Fake: hardware.FakeConfig{Machines: b}}
}

// Registry returns a registry with the type fake-hardware, all of whose fakes
// command the machines of b. The power state is the machine's, not the
// record's.
func Registry(b *BMC) *hardware.Registry {
	r, err := hardware.NewRegistry(Config(b))
	if err != nil {
		panic(fmt.Sprintf("the configuration is constant: %v", err))
	}
	return r
}

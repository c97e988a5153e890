package hardware

// FakeHardware is the name of the hardware type that is always known.
const FakeHardware = "fake-hardware"

// FaultKey is the key in driver_info under which faults are ordered.
const FaultKey = "fake_faults"

const noop = "noop"

// FakeConfig configures the implementations called fake.
type FakeConfig struct{}

func builtin(FakeConfig) (Kit, error) { return Kit{}, nil }

func fakeHardwareType() Type { return Type{Name: FakeHardware, Any: true} }

package hardware

import (
	"errors"
	"fmt"
	"strings"
)

// The kinds of error. Each typed error below wraps one of them.
var (
	// ErrDriverNotFound: the node's driver is not an enabled hardware type.
	// Ironic: DriverNotFound, 404.
	ErrDriverNotFound = errors.New("hardware type not found")
	// ErrInterfaceNotFound: an implementation is not enabled. Ironic:
	// InterfaceNotFoundInEntrypoint, 400.
	ErrInterfaceNotFound = errors.New("interface not found")
	// ErrIncompatibleInterface: an implementation does not fit the hardware
	// type. Ironic: IncompatibleInterface, 400.
	ErrIncompatibleInterface = errors.New("interface incompatible with hardware type")
	// ErrNoValidDefault: no implementation is given and none can be chosen.
	// Ironic: NoValidDefaultForInterface, 400.
	ErrNoValidDefault = errors.New("no valid default interface")
	// ErrUnsupported: the machine, or its driver, has not got this. Ironic:
	// UnsupportedDriverExtension, 400.
	ErrUnsupported = errors.New("not supported")
	// ErrInvalidParameter: a value does not fit. Ironic:
	// InvalidParameterValue, 400.
	ErrInvalidParameter = errors.New("invalid parameter")
	// ErrMissingParameter: a value is missing, which is one way of not
	// fitting. Ironic: MissingParameterValue, a kind of
	// InvalidParameterValue.
	ErrMissingParameter = fmt.Errorf("missing parameter: %w", ErrInvalidParameter)
	// ErrExclusive: a vendor method needs the exclusive lock, so it must be
	// called by a [Driver].
	ErrExclusive = errors.New("needs the exclusive lock")
	// ErrStepNotFound: the interface has no such step.
	ErrStepNotFound = errors.New("step not found")
)

// DriverNotFoundError says that a node's driver is not an enabled hardware
// type. It wraps [ErrDriverNotFound].
type DriverNotFoundError struct {
	Driver string
	// Valid are the enabled hardware types.
	Valid []string
}

// Error returns the driver and what would be valid.
func (e *DriverNotFoundError) Error() string {
	return fmt.Sprintf("%v: %q, enabled: %s", ErrDriverNotFound, e.Driver, list(e.Valid))
}

// Unwrap returns [ErrDriverNotFound].
func (e *DriverNotFoundError) Unwrap() error { return ErrDriverNotFound }

// InterfaceNotFoundError says that an implementation is not enabled. It wraps
// [ErrInterfaceNotFound].
type InterfaceNotFoundError struct {
	Interface, Name string
	// Valid are the names that could be used instead with the node's
	// hardware type, the preferred first.
	Valid []string
}

// Error returns the name and what would be valid.
func (e *InterfaceNotFoundError) Error() string {
	return fmt.Sprintf("%s %v: %q, valid: %s", e.Interface, ErrInterfaceNotFound, e.Name, list(e.Valid))
}

// Unwrap returns [ErrInterfaceNotFound].
func (e *InterfaceNotFoundError) Unwrap() error { return ErrInterfaceNotFound }

// IncompatibleInterfaceError says that an implementation is enabled but does
// not fit the hardware type. It wraps [ErrIncompatibleInterface].
type IncompatibleInterfaceError struct {
	Driver, Interface, Name string
	// Valid are the names that could be used instead, the preferred first.
	Valid []string
}

// Error returns the names and what would be valid.
func (e *IncompatibleInterfaceError) Error() string {
	return fmt.Sprintf("%s %v: %q with %s, valid: %s",
		e.Interface, ErrIncompatibleInterface, e.Name, e.Driver, list(e.Valid))
}

// Unwrap returns [ErrIncompatibleInterface].
func (e *IncompatibleInterfaceError) Unwrap() error { return ErrIncompatibleInterface }

// NoValidDefaultError says that a node names no implementation and that none
// can be chosen. It wraps [ErrNoValidDefault].
type NoValidDefaultError struct {
	Driver, Interface string
	// Configured is the configured default if it is the reason.
	Configured string
	// Supported are the names the hardware type could use if they were
	// enabled; Valid are those of them that are.
	Supported, Valid []string
}

// Error returns the names, the reason and what would be valid.
func (e *NoValidDefaultError) Error() string {
	if e.Configured != "" {
		return fmt.Sprintf("%v for %s: %s cannot use the configured %q, valid: %s",
			ErrNoValidDefault, e.Interface, e.Driver, e.Configured, list(e.Valid))
	}
	return fmt.Sprintf("%v for %s: %s could use %s, but none of them is enabled",
		ErrNoValidDefault, e.Interface, e.Driver, list(e.Supported))
}

// Unwrap returns [ErrNoValidDefault].
func (e *NoValidDefaultError) Unwrap() error { return ErrNoValidDefault }

// UnsupportedError says that a driver does not offer something. It wraps
// [ErrUnsupported].
type UnsupportedError struct {
	// Driver is the hardware type of the node.
	Driver string
	// Extension is what is missing: an interface, or a method of one.
	Extension string
}

// Error returns the driver and what it does not offer.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("driver %s does not support %s (disabled or not implemented)", e.Driver, e.Extension)
}

// Unwrap returns [ErrUnsupported].
func (e *UnsupportedError) Unwrap() error { return ErrUnsupported }

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Package provision turns what users ask of a node into tasks: verbs into
// events of its state machine, power requests into commands to its machine.
package provision

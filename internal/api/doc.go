// Package api is the HTTP door of a conductor.
package api

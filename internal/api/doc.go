// Package api is the HTTP door of a conductor: Ironic's REST interface, and
// beside it /v1/locks, health, metrics and version.
//
// # One call
//
// Each request passes the same way: door.go gives it an id and the headers that
// every answer carries, finds out for which API version it asks, and counts and
// logs it; a route's function then answers it or returns an error, which the one
// table in fault.go turns into a status and a text. Reads take no lock and are
// linearizable. Changes run as tasks; they wait for the node's lock for two
// seconds unless the request says otherwise with ?wait= or Prefer: wait=.
//
// # Versions
//
// Requests choose an API version as Ironic's clients do. What a version does not
// know is hidden from answers and refused in requests; columns.go is the table.
//
// # Not here
//
// Time limits against slow clients are the server's: set ReadHeaderTimeout,
// ReadTimeout and IdleTimeout of http.Server. WriteTimeout must be longer than
// Config.MaxWait by two minutes; watches lift it for themselves. A watch ends
// with its request's context, so cancel http.Server's BaseContext at shutdown.
// Nothing here knows who a client is, apart from the name in a verified TLS
// certificate. There is no pprof.
package api

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
// A change of one node is handed to the conductor that the node prefers, and done
// here if that one cannot be reached (forward.go). Where it is done makes no
// difference to its outcome: the node's lock decides.
//
// # Versions
//
// Requests choose an API version as Ironic's clients do. What a version does not
// know is hidden from answers and refused in requests; columns.go is the table.
//
// # Patches
//
// PATCH takes the three operations that Ironic takes: add, replace, remove. They
// are applied to the fields that a patch may change, as the client sees them, but
// with the secrets that it does not see. A mask that comes back stands for the
// secret behind it; one that cannot stand for any is refused, because storing it
// would destroy what it hides (node.Node.Unmask). Every rule is checked on the
// record as it stands, so that nobody waits for what is refused in the end, and
// again under the lock, where alone it counts. A record that goes to another node
// goes under the locks of both.
//
// A request that asks to wait is not refused for the state of a node on which
// somebody works: it waits, and the state that it then finds decides.
//
// # Not here
//
// Time limits against slow clients are the server's as far as headers and idle
// connections go: set ReadHeaderTimeout and IdleTimeout of http.Server. A body
// that comes slowly and an answer that is read slowly are limited here, so that
// the wait for a lock is not. A watch ends with its request's context, so cancel
// http.Server's BaseContext at shutdown.
// Who a client is, is known by a password or a verified TLS certificate; what it
// may do is not told apart. There is no pprof.
package api

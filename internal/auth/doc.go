// Package auth says who calls: by a password, as Ironic standalone does
// (auth_strategy http_basic), or by a client certificate. What a caller may do
// is not told apart: whoever is known may do everything.
//
// Files are read anew when they change, without a restart and without a gap:
// while a new file cannot be read or makes no sense, the old content counts, and
// the log says so.
package auth

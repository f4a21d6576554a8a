// Package introspect reads what tables a database has, and samples of their values, for package proposal. It only
// reads.
package introspect

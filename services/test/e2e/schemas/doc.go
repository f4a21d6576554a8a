// Package schemas holds catalogs in the shape of well-known shops and billing systems, for tests of a mapping from
// outside: the tables, rows, a configuration, changes, and what Stripe must hold. The latter is computed from the rows
// in Go and shares no code with the mapping, neither its SQL nor the services' own types.
//
// Each folder has
//   - schema.sql: the tables, with their replica identities
//   - role.sql and remove.sql, in one of them: the role with the least rights and the publication
//   - rows.sql: rows by a generator, as many as the setting fixture.size says
//   - driftless.yaml: the mapping, without triggers
//   - changes.sql: what happens to the tables, one change after another
package schemas

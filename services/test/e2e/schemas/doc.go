// Package schemas has catalogs with the schemas of well-known shops and billing systems, to test a mapping from
// outside. Each has tables, rows, a configuration, changes, and the state that Stripe must have. The state is computed
// from the rows in Go. It shares no code with the mapping, neither its SQL nor the services' types.
//
// Each folder has
//   - schema.sql: the tables, with their replica identities
//   - role.sql and remove.sql, in one of them: the role with the least privileges, and the publication
//   - rows.sql: a generator of rows; the setting fixture.size is their number
//   - driftless.yaml: the mapping, without triggers
//   - changes.sql: changes of the tables, one after another
package schemas

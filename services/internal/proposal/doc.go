// Package proposal proposes a mapping for the tables of a database: the queries, the watched tables, and the SQL that a
// role with the least privileges needs. It has no I/O. It reasons from names, types, foreign keys and samples of
// values.
//
// Nothing is guessed silently. A choice that the tables do not prove becomes a Question, and the proposal is either the
// most likely answer, or one that Driftless refuses.
package proposal

// Package localtest gives tests real servers: new databases on a private Postgres that the tests of a process share,
// Postgres servers of their own, and NATS servers. Everything is stopped and removed when the test ends, and
// when the test process is killed.
package localtest

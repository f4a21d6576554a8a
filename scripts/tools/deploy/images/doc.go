// Command images builds Driftless's container images without a container engine: one for each service and one for the
// command line, for every platform, each of one static program, the root certificates, and the list of what is in it. The
// same sources give the same digests. It writes OCI layouts and archives that `docker load` and `ctr import` read, and
// can push to a registry.
//
// It knows nothing of what the programs do.
package main

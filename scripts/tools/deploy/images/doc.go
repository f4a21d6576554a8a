// Command images builds Driftless's container images without a container engine: one for each service and one for the
// command line, for every platform. Each has one static program, the root certificates, and a list of its contents. The
// same sources give the same digests. The command writes OCI layouts and archives that `docker load` and `ctr import`
// read, and can push to a registry.
//
// It does not know what the programs do.
package main

// Package probe has all probes of driftless doctor: those of the packages below it, which ask one server each, and
// those that ask the services. A service links only the packages of the servers that it uses.
package probe

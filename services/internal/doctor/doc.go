// Package doctor looks for everything in the settings and surroundings of a mesh that keeps it from working. It changes
// nothing. Checks has all checks, and docs/doctor.md shows them. A Probe looks for some of them, and Run runs probes.
//
// A check is fine only if its probe looked and found nothing. Everything else is a finding, or was not looked at.
package doctor

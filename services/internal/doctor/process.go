package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Process is a process of the mesh, and the version that it says it has.
type Process struct {
	// Service is ingestion, push, pull, reconciliation, or driftless for the command line itself.
	Service string
	// At tells processes of one service apart: an address, a host, or a name.
	At, Version string
	// LostFor is how long ago a process was last heard of that ended without saying so. 0 if it runs.
	LostFor time.Duration
}

// Fleet is what is known of the processes of the mesh.
type Fleet struct {
	// Processes are those that run and those that were lost.
	Processes []Process
	// Absent says by service why no process of it is known to run.
	Absent map[string]string
}

// Running returns how many processes of a service run.
func (f Fleet) Running(service string) int {
	n := 0
	for _, p := range f.Processes {
		if p.Service == service && p.LostFor == 0 {
			n++
		}
	}
	return n
}

// JudgeFleet records different versions among the processes and others, which are no services, and processes that were
// lost.
func JudgeFleet(r *Recorder, f Fleet, others ...Process) {
	running := slices.Clone(others)
	lost := 0
	for _, p := range f.Processes {
		if p.LostFor == 0 {
			running = append(running, p)
			continue
		}
		lost++
		r.Foundf(ServicesLost, "", "%s (%s) was last heard of %s ago and did not stop in an orderly way; %s", p.Service,
			p.At, p.LostFor.Round(time.Second), inItsPlace(f.Running(p.Service)))
	}
	JudgeVersions(r, running)
	if lost == 0 {
		r.Sawf(ServicesLost, "%d processes run", len(running)-len(others))
	}
	for _, service := range slices.Sorted(maps.Keys(f.Absent)) {
		r.NotLooked(service+" "+f.Absent[service], ServicesVersion, ServicesLost)
	}
}

// inItsPlace says how many processes do the work of one that was lost.
func inItsPlace(running int) string {
	switch running {
	case 0:
		return "no other process of it is known to run"
	case 1:
		return "1 other process of it runs"
	default:
		return fmt.Sprintf("%d other processes of it run", running)
	}
}

// JudgeVersions records whether the processes have different versions.
func JudgeVersions(r *Recorder, processes []Process) {
	byVersion := map[string][]string{}
	for _, p := range processes {
		byVersion[p.Version] = append(byVersion[p.Version], p.Service+" ("+p.At+")")
	}
	versions := slices.Sorted(maps.Keys(byVersion))
	if len(versions) < 2 {
		r.Sawf(ServicesVersion, "%s, of %d processes", strings.Join(versions, ""), len(processes))
		return
	}
	parts := make([]string, len(versions))
	for i, v := range versions {
		parts[i] = fmt.Sprintf("%s: %s", v, strings.Join(byVersion[v], ", "))
	}
	r.Foundf(ServicesVersion, "", "there are %d versions: %s", len(versions), strings.Join(parts, "; "))
}

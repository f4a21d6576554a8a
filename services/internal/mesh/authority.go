package mesh

import (
	"slices"
	"strings"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// writers returns the services that publish signed messages.
func writers() []string {
	return []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation}
}

// signedSubject returns the subject that a signature names, and reports whether messages on the subject are signed. A
// retry is published as a schedule and arrives on another subject. The signature of both names the second.
func signedSubject(subject string) (name string, signed bool) {
	kind, rest, _ := strings.Cut(subject, ".")
	switch kind {
	case "catalog", "command":
		return subject, true
	case "retry":
		if product, ok := strings.CutPrefix(rest, topology.RetryOverlap+"."); ok {
			return "retry.due." + topology.Push + "." + product, true
		}
		if !strings.HasPrefix(rest, "due.") {
			return "retry.due." + rest, true
		}
		return subject, true
	default:
		return subject, false
	}
}

// commandsOf lists the verbs that a service may send to another, by sender and receiver. Reconciliation may send all of
// them. A stolen key can send no other commands, whatever its owner may publish on NATS.
var commandsOf = map[string]map[string][]string{
	topology.Ingestion: {topology.Ingestion: {topology.VerbBackfill}},
	topology.Push:      {topology.Ingestion: {topology.VerbBackfill}},
	topology.Pull:      {topology.Pull: {topology.VerbScan}},
}

// mayPublish reports whether a service may be the author of messages on a subject that signedSubject returned.
func mayPublish(role, subject string) bool {
	tokens := strings.Split(subject, ".")
	switch {
	case tokens[0] == "catalog":
		return role == topology.Ingestion
	case tokens[0] == "retry" && len(tokens) > 2:
		// retry.due.<service>.<account>.<product>
		return role == tokens[2]
	case tokens[0] == "command" && len(tokens) > 3:
		return role == topology.Reconciliation || slices.Contains(commandsOf[role][tokens[1]], tokens[3])
	default:
		return false
	}
}

// verbOf returns the verb of a command's body, as it appears in subjects.
func verbOf(c *meshv1.Command) string {
	switch c.GetVerb().(type) {
	case *meshv1.Command_Sync:
		return topology.VerbSync
	case *meshv1.Command_Scan:
		return topology.VerbScan
	case *meshv1.Command_Read:
		return topology.VerbRead
	case *meshv1.Command_Backfill:
		return topology.VerbBackfill
	case *meshv1.Command_WriteBack:
		return topology.VerbWriteBack
	case *meshv1.Command_Adopt:
		return topology.VerbAdopt
	case *meshv1.Command_ReadUsage:
		return topology.VerbReadUsage
	case *meshv1.Command_Approve:
		return topology.VerbApprove
	default:
		return ""
	}
}

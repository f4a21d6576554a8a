package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// minNATS is the oldest version of nats-server that works; see docs/nats.md.
var minNATS = []int{2, 14}

// JudgeNATSVersion records whether the version of a server is too old.
func JudgeNATSVersion(r *Recorder, version string) {
	r.Sawf(NATSVersion, "%s", version)
	var have []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			break
		}
		have = append(have, n)
	}
	switch {
	case len(have) < len(minNATS):
		r.NotLooked(fmt.Sprintf("the server calls its version %q", version), NATSVersion)
	case slices.CompareFunc(have[:len(minNATS)], minNATS, cmp.Compare[int]) < 0:
		r.Foundf(NATSVersion, "", "the server is nats-server %s, and Driftless needs %d.%d", version, minNATS[0],
			minNATS[1])
	}
}

// JudgeReplicas records whether the streams of a cluster have one replica only.
func JudgeReplicas(r *Recorder, clustered bool, replicas int) {
	r.Sawf(NATSReplicas, "%d", replicas)
	if clustered && replicas < 2 {
		r.Foundf(NATSReplicas, "", "the server belongs to a cluster, and NATS_REPLICAS is %d", replicas)
	}
}

// JudgeStream records whether a stream of a cluster has a leader, and replicas that are current.
func JudgeStream(r *Recorder, name string, c *jetstream.ClusterInfo) {
	if c == nil {
		return
	}
	if c.Leader == "" {
		r.Foundf(NATSCluster, "", "stream %s has no leader", name)
	}
	for _, p := range c.Replicas {
		switch {
		case p.Offline:
			r.Foundf(NATSCluster, "", "the replica of stream %s on server %s is offline", name, p.Name)
		case !p.Current:
			r.Foundf(NATSCluster, "", "the replica of stream %s on server %s is %d operations behind", name, p.Name,
				p.Lag)
		}
	}
}

// SubjectRights are the subjects that a user may publish on, or subscribe to. No Allow allows all.
type SubjectRights struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

// Lacking returns the subjects that the rights do not include.
func (s *SubjectRights) Lacking(needed []string) []string {
	if s == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(needed), func(subject string) bool {
		isAllowed := len(s.Allow) == 0 ||
			slices.ContainsFunc(s.Allow, func(allowed string) bool { return covers(allowed, subject) })
		isDenied := slices.ContainsFunc(s.Deny,
			func(denied string) bool { return covers(denied, subject) || covers(subject, denied) })
		return isAllowed && !isDenied
	})
}

// covers reports whether a pattern of subjects matches everything that another one matches.
func covers(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		switch {
		case token == ">":
			return len(s) > i
		case i >= len(s), s[i] == ">", token != "*" && token != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}

// JudgePermissions records the subjects that a user lacks.
func JudgePermissions(r *Recorder, user string, publish, subscribe []string) {
	const shown = 5
	for _, kind := range []struct {
		verb     string
		subjects []string
	}{{"publish on", publish}, {"subscribe to", subscribe}} {
		n := len(kind.subjects)
		if n == 0 {
			continue
		}
		list := strings.Join(kind.subjects[:min(n, shown)], ", ")
		if n > shown {
			list += fmt.Sprintf(" and %d more", n-shown)
		}
		r.Foundf(NATSPermissions, "", "the user of %s may not %s %s", user, kind.verb, list)
	}
}

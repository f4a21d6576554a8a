package state

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// maxClockSkew is how far the clocks of two hosts may differ.
const maxClockSkew = 10 * time.Second

// BeganAfter reports whether a scan or a comparison began after a time. Its report has the clock of another host.
func BeganAfter(report interface{ GetStartedAt() *timestamppb.Timestamp }, at time.Time) bool {
	return report.GetStartedAt().AsTime().After(at.Add(maxClockSkew))
}

// HasReadAll reports whether a scan has ended, and has read from Stripe all that Stripe lists and all that was observed
// before. Failed objects are those that Driftless cannot record at all. Products of the catalog get dead letters for
// them.
func HasReadAll(scan *meshv1.ScanReport) bool {
	return scan.GetFinishedAt() != nil && scan.GetError() == "" && scan.GetUnconfirmed() == 0
}

// PollAge returns how long before its report was written a poll had read all events. Both times are by the clock of the
// process that wrote it.
func PollAge(poll *meshv1.PollReport) time.Duration {
	age := time.Duration(0)
	if recorded := poll.GetRecordedAt(); recorded != nil {
		age = recorded.AsTime().Sub(poll.GetAt().AsTime())
	}
	// Older programs record nothing, and keep what a newer one has recorded. They write when a poll succeeds or fails.
	if poll.GetError() != "" {
		age = max(age, poll.GetFailedAt().AsTime().Sub(poll.GetAt().AsTime()))
	}
	return max(age, 0)
}

// HasReadLostEvents reports whether a scan has read from Stripe what events said that a poll could not read. The scan
// must have begun after they were lost, or because of that.
func HasReadLostEvents(scan *meshv1.ScanReport, poll *meshv1.PollReport) bool {
	isLater := scan.GetId() == poll.GetLostScan() || BeganAfter(scan, poll.GetLostAt().AsTime())
	return isLater && HasReadAll(scan)
}

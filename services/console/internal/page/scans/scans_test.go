package scans

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/console/internal/live"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/internal/auth"
)

func TestPage_TellsAFailedScanFromOneThatRuns(t *testing.T) {
	t.Parallel()
	const runs, ended, start = "A scan runs", "The latest scan ended", "Scan Stripe now"
	for name, c := range map[string]struct {
		edit               func(*meshv1.ScanReport)
		live               string
		contains, excludes []string
	}{
		"runs": {
			func(*meshv1.ScanReport) {}, view.Again, []string{runs}, []string{ended, "failed", start},
		},
		// Pull sets no end, because it may resume the scan.
		"failed": {
			func(r *meshv1.ScanReport) { r.Error = "403" },
			live.Status,
			[]string{"The latest scan", "The scan failed: 403", start},
			[]string{runs, ended},
		},
		"ended": {
			func(r *meshv1.ScanReport) { r.FinishedAt = timestamppb.Now() },
			live.Status,
			[]string{ended, "Everything that is known of Stripe was right.", start},
			[]string{runs, "failed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scan := &meshv1.ScanReport{Id: "s1", StartedAt: timestamppb.Now()}
			c.edit(scan)
			require.Equal(t, c.live, liveness(scan))
			ctx := view.With(t.Context(), &view.Chrome{Role: auth.Operate})
			var html strings.Builder
			require.NoError(t, page(scan, &controlv1.GetStatusResponse{}).Render(ctx, &html))
			for _, text := range c.contains {
				require.Contains(t, html.String(), text)
			}
			for _, text := range c.excludes {
				require.NotContains(t, html.String(), text)
			}
		})
	}
	require.Equal(t, live.Status, liveness(nil))
}

package cli

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

func TestScanProgress(t *testing.T) {
	half := &meshv1.ScanReport{
		Phase: meshv1.ScanPhase_SCAN_PHASE_LISTING, Products: 400, Prices: 600, Expected: 2000, PerSecond: 98.7,
		Remaining: durationpb.New(10 * time.Second),
	}
	require.Equal(t, "listing    [############............]  50%  1000 of 2000, 99/s, 10s left", scanLine(half))
	require.Equal(t, "listing    7 objects", scanLine(&meshv1.ScanReport{Products: 7}),
		"the first scan does not know its size")
	require.Equal(t, "listing    [########################] 100%  30 of 30",
		scanLine(&meshv1.ScanReport{Products: 30, Expected: 20}), "more than was known")
	require.Equal(t, "comparing  [######..................]  25%  1 of 4",
		scanLine(&meshv1.ScanReport{
			Phase:    meshv1.ScanPhase_SCAN_PHASE_COMPARING,
			Compared: 1,
			Entries:  4,
			Products: 9,
			Expected: 9,
		}))

	done := &meshv1.ScanReport{
		StartedAt: timestamppb.New(time.Unix(1, 0)), FinishedAt: timestamppb.New(time.Unix(3, 0)),
		Products: 4, Prices: 5, Corrected: 1, Missing: 2, MissingPrices: 3, ListCalls: 8, Reads: 5, Unconfirmed: 6,
		Failed: 7,
	}
	for name, c := range map[string]struct {
		terminal, quiet bool
		want            string
	}{
		"terminal": {true, false, "\r\x1b[K" + scanLine(half) + "\r\x1b[K" + scanLine(half) + "\r\x1b[K"},
		"pipe":     {false, false, scanLine(half) + "\n"},
		"json":     {true, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			p := &scanProgress{out: &out, terminal: c.terminal, quiet: c.quiet}
			if !c.terminal {
				p.show(half)
				require.Empty(t, out.String(), "a short scan has only its result")
				p.lastWritten = time.Now().Add(-lineInterval)
			}
			p.show(half)
			p.show(half)
			p.show(done)
			p.end(done, nil)
			want := c.want
			if !c.quiet {
				want += "4 products, 5 prices, 1 corrected, 2 products and 3 prices missing; 8 list calls, 5 reads, in 2s\n" +
					"6 known objects were neither listed nor read, because the read allowance did not suffice, Stripe did not " +
					"answer, or too many changed: the next scan continues there\n" +
					"7 objects could not be processed: `driftless dead` has those of the catalog, and pull's log names them\n"
			}
			require.Equal(t, want, out.String())
		})
	}
	var out bytes.Buffer
	p := &scanProgress{out: &out, terminal: true}
	p.show(half)
	p.end(half, errors.New("it failed"))
	require.Equal(t, "\r\x1b[K"+scanLine(half)+"\r\x1b[K", out.String(), "the error is printed alone")
}

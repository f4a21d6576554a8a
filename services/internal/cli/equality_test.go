package cli

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// outputOf runs a command line and returns its output and its exit code.
func outputOf(t *testing.T, args ...string) (string, int) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	require.NoError(t, err)
	defer file.Close()
	was, wasOurs := os.Stdout, stdout
	os.Stdout, stdout = file, file
	defer func() { os.Stdout, stdout = was, wasOurs }()
	code := Main(args)
	data, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	require.NoError(t, checkOutput(args, string(data)))
	return string(data), code
}

func TestEqualityLine(t *testing.T) {
	today := timestamppb.Now()
	at := formatWhen(today.AsTime(), time.TimeOnly)
	behind := &controlv1.Equality{AsOf: today, Unknown: "capture is 21 s behind"}
	require.Equal(t, "equal as of "+at, equalityLine(0, &controlv1.Equality{AsOf: today}))
	require.Equal(t, "1 product differs as of "+at, equalityLine(1, &controlv1.Equality{AsOf: today}))
	require.Equal(t, "12,000 products differ as of "+at, equalityLine(12_000, &controlv1.Equality{AsOf: today}))
	require.Equal(t, "unknown: capture is 21 s behind", equalityLine(0, behind))
	require.Equal(t, "unknown: capture is 21 s behind; 2 products differ as far as is known as of "+at,
		equalityLine(2, behind))
	require.Contains(t, equalityLine(0, nil), "unknown: ")
	require.Contains(t, equalityLine(0, &controlv1.Equality{}), "unknown: ", "an answer without a time is none")
}

func TestStatus_ExitCodes(t *testing.T) {
	fine := func() *controlv1.GetStatusResponse {
		return &controlv1.GetStatusResponse{
			Account:  "shop",
			InSync:   40,
			Left:     3,
			Equality: equalNow(),
			Services: []*controlv1.ServiceStatus{{Service: "push", Running: 1}},
		}
	}
	for name, c := range map[string]struct {
		edit  func(*controlv1.GetStatusResponse)
		code  int
		first string
	}{
		"equal":   {func(*controlv1.GetStatusResponse) {}, 0, "equal as of "},
		"pending": {func(s *controlv1.GetStatusResponse) { s.Pending = 1 }, 2, "1 product differs as of "},
		"drifted": {func(s *controlv1.GetStatusResponse) { s.Drifted = 2 }, 2, "2 products differ as of "},
		"dead":    {func(s *controlv1.GetStatusResponse) { s.Dead = 3 }, 2, "3 products differ as of "},
		"unknown": {func(s *controlv1.GetStatusResponse) {
			s.Equality.Unknown = "no ingestion runs (last report 40 s ago)"
		}, 2, "unknown: no ingestion runs (last report 40 s ago)"},
		"halted": {func(s *controlv1.GetStatusResponse) { s.Halted = "401" }, 2, "equal as of "},
		"paused": {func(s *controlv1.GetStatusResponse) {
			s.Paused = []*controlv1.PausedService{{Service: "push", Since: timestamppb.Now()}}
		}, 2, "equal as of "},
		"held": {func(s *controlv1.GetStatusResponse) { s.Held = 1 }, 2, "1 product differs as of "},
		"service down": {func(s *controlv1.GetStatusResponse) {
			s.Problems = []*controlv1.Notice{{Kind: "service", Text: "push does not run"}}
		}, 2, "equal as of "},
		"no services": {func(s *controlv1.GetStatusResponse) { s.Services = nil }, 2, "equal as of "},
		"a note": {func(s *controlv1.GetStatusResponse) {
			s.Notes = []*controlv1.Notice{{Kind: "version", Text: "the services run different versions"}}
		}, 0, "equal as of "},
		"extras": {func(s *controlv1.GetStatusResponse) { s.Orphans = 9 }, 0, "equal as of "},
	} {
		t.Run(name, func(t *testing.T) {
			answer := fine()
			c.edit(answer)
			url := (&stub{status: func() (*controlv1.GetStatusResponse, error) { return answer, nil }}).serve(t)
			out, code := outputOf(t, "status", "--control", url)
			require.Equal(t, c.code, code)
			require.True(t, strings.HasPrefix(out, c.first), out)
			_, code = outputOf(t, "status", "--control", url, "-o", "json")
			require.Equal(t, c.code, code)
		})
	}
	url := (&stub{status: func() (*controlv1.GetStatusResponse, error) { return fine(), nil }}).serve(t)
	out, _ := outputOf(t, "status", "--control", url)
	require.Regexp(t, `LEFT\n40 +40 +0 +0 +0 +0 +0 +0 +3\n`, out)
}

func TestCommands_ReportUnknownWithoutAnswer(t *testing.T) {
	away := connect.NewError(connect.CodeUnavailable, errors.New("reconciliation has no connection to its streams"))
	url := (&stub{
		plan:      func() (*controlv1.PlanResponse, error) { return nil, away },
		status:    func() (*controlv1.GetStatusResponse, error) { return nil, away },
		listDrift: func() (*controlv1.ListDriftResponse, error) { return nil, away },
	}).serve(t)
	for _, command := range [][]string{
		{"status"},
		{"plan"},
		{"plan", "mug"},
		{"sync"},
		{"drift"},
		{"drift", "show", "mug"},
	} {
		for address, why := range map[string]string{
			url: "no connection to its streams", "http://127.0.0.1:1": "does not answer",
			"": "no mesh runs on data directory",
		} {
			args := append(slices.Clone(command), "--data-dir", t.TempDir())
			if address != "" {
				args = append(args, "--control", address)
			}
			out, code := outputOf(t, args...)
			require.Equal(t, 2, code, "%s: %s", args, out)
			require.True(t, strings.HasPrefix(out, "unknown: "), "%s: %s", args, out)
			require.Contains(t, out, why)

			out, code = outputOf(t, append(args, "-o", "json")...)
			require.Equal(t, 2, code, args)
			var answer struct {
				Equality struct {
					Unknown string `json:"unknown"`
				} `json:"equality"`
			}
			require.NoError(t, json.Unmarshal([]byte(out), &answer), "%s: %s", args, out)
			require.Contains(t, answer.Equality.Unknown, why)
		}
	}
}

func TestDrift_IsUnknownWhileCaptureIs(t *testing.T) {
	answer := &controlv1.ListDriftResponse{Equality: equalNow()}
	url := (&stub{listDrift: func() (*controlv1.ListDriftResponse, error) { return answer, nil }}).serve(t)
	out, code := outputOf(t, "drift", "--control", url)
	require.Zero(t, code)
	require.Contains(t, out, "0 differences as of ")
	answer.Equality.Unknown = "capture is 21 s behind"
	for _, args := range [][]string{{"drift"}, {"drift", "show", "mug"}} {
		out, code = outputOf(t, append(args, "--control", url)...)
		require.Equal(t, 2, code)
		require.Contains(t, out, "unknown: capture is 21 s behind; 0 differences as far as is known")
	}
}

func TestSync_WaitsForItsReread(t *testing.T) {
	asked := timestamppb.New(time.Now().Add(-time.Minute))
	var calls atomic.Int64
	url := (&stub{plan: func() (*controlv1.PlanResponse, error) {
		at := timestamppb.Now()
		e := &controlv1.Equality{At: at, AsOf: asked, Capture: &meshv1.CaptureReport{}}
		plan := &controlv1.PlanResponse{Equality: e, Orders: 5, IngestionOrders: 5, InFlight: 5}
		switch n := calls.Add(1); {
		case n < 3:
			e.Capture.Running = &meshv1.TableComparison{Id: "ours"}
		case n < 6:
			// The read has ended, but what was captured meanwhile is not yet known to be equal.
			e.Capture.Asked = []*meshv1.TableComparison{{Id: "another"}, {Id: "ours", FinishedAt: at}}
		default:
			e.Capture.Asked, e.AsOf = []*meshv1.TableComparison{{Id: "ours", FinishedAt: at}}, at
		}
		return plan, nil
	}}).serve(t)
	out, code := outputOf(t, "sync", "mug", "--control", url)
	require.Zero(t, code, out)
	require.Contains(t, out, "mug  equal\n1 of 1 product is equal on both sides as of ")
	require.GreaterOrEqual(t, calls.Load(), int64(6),
		"other commands of ingestion, and a time before the read, do not count")
}

func TestSync_ReportsUnknownProducts(t *testing.T) {
	plan := &controlv1.PlanResponse{
		Orders: 1, IngestionOrders: 1, InFlight: 1,
		Equality: &controlv1.Equality{Unknown: "capture is stopped: no such column"},
		Products: []*controlv1.ProductPlan{{
			ProductId: "cup",
			Refused:   "No such currency",
			State:     controlv1.ProductState_PRODUCT_STATE_DEAD,
		}},
	}
	url := (&stub{plan: func() (*controlv1.PlanResponse, error) { return plan, nil }}).serve(t)
	begun := time.Now()
	out, code := outputOf(t, "sync", "mug", "cup", "--control", url)
	require.Equal(t, 2, code)
	require.WithinDuration(t, begun.Add(unknownTimeout), time.Now(), 5*time.Second,
		"not after the ten minutes of the commands")
	require.Equal(t,
		"cup  differs: refused: No such currency\nmug  unknown: capture is stopped: no such column\nunknown: capture is stopped: no such column. The commands stay queued.\n", out)
}

func TestSync_SkipsProductsThatNeedADecision(t *testing.T) {
	plan := &controlv1.PlanResponse{Equality: equalNow(), Products: []*controlv1.ProductPlan{
		{
			ProductId: "left",
			Drift: []*controlv1.Drift{{
				ProductId:  "left",
				State:      "found",
				Difference: &meshv1.Difference{Kind: "field", Field: "name", Catalog: "A", Stripe: "B"},
			}},
		},
	}}
	url := (&stub{plan: func() (*controlv1.PlanResponse, error) { return plan, nil }}).serve(t)
	out, code := outputOf(t, "sync", "--control", url)
	require.Equal(t, 2, code)
	require.Contains(t, out, `left  differs: field name: catalog "A", Stripe "B": only reported, by policy`)
	plan.Products = append(plan.Products, &controlv1.ProductPlan{
		ProductId: "later", Attempts: 4, Waiting: "Stripe: 500", Steps: []*controlv1.PlannedStep{{}},
		State: controlv1.ProductState_PRODUCT_STATE_PENDING,
	})
	out, code = outputOf(t, "sync", "--control", url)
	require.Equal(t, 2, code)
	require.Contains(t, out, "later  differs: failed 4 times: Stripe: 500", "it got a command, and was retried")
	require.Contains(t, out, "0 of 2 products are equal")
	plan.Products = nil
	out, code = outputOf(t, "sync", "--control", url)
	require.Zero(t, code)
	require.Contains(t, out, "Nothing differs: equal as of ")
	plan.Equality.Unknown = "no ingestion runs"
	out, code = outputOf(t, "sync", "--control", url, "-o", "json")
	require.Equal(t, 2, code)
	require.Contains(t, out, `"unknown_because": "no ingestion runs"`)
}

func TestReread(t *testing.T) {
	finished := func(c *meshv1.TableComparison) *controlv1.GetStatusResponse {
		e := equalNow()
		e.UnwatchedTables = []string{"category", "supplier"}
		c.Id, c.FinishedAt = "ours", timestamppb.Now()
		e.Capture = &meshv1.CaptureReport{At: e.GetAt(), Asked: []*meshv1.TableComparison{c}}
		return &controlv1.GetStatusResponse{Equality: e}
	}
	for name, c := range map[string]struct {
		found *meshv1.TableComparison
		want  string
		code  int
	}{
		"nothing": {&meshv1.TableComparison{Products: 1204}, "1,204 products read, none differed.\n", 0},
		"missed": {
			&meshv1.TableComparison{
				Products:       1204,
				Published:      3,
				Missed:         3,
				MissedProducts: []string{"mug", "cup", "pot"},
			},
			"1,204 products read, 3 differed: mug, cup, pot; published. The tables category and supplier are read by the mapping and not watched: the likely cause.\n", 0,
		},
		"more than are named": {
			&meshv1.TableComparison{Products: 9, Published: 5, Missed: 1, MissedProducts: []string{"mug"}, Removed: 1},
			"9 products read, 5 differed: mug, ...; published; 1 left the catalog. The tables category and supplier are read by the mapping and not watched: the likely cause.\n", 0,
		},
		"dead": {
			&meshv1.TableComparison{Products: 2, Dead: 1},
			"2 products read, none differed; 1 became a dead letter.\n", 1,
		},
		"failed": {&meshv1.TableComparison{Error: "no such column"}, "0 products read, none differed.\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			url := (&stub{status: func() (*controlv1.GetStatusResponse, error) {
				e := equalNow()
				if calls.Add(1) == 1 {
					e.Capture = &meshv1.CaptureReport{
						At:      e.GetAt(),
						Running: &meshv1.TableComparison{Id: "ours", Products: 5, Expected: 10},
					}
					return &controlv1.GetStatusResponse{Equality: e}, nil
				}
				return finished(c.found), nil
			}}).serve(t)
			out, code := outputOf(t, "reread", "--control", url)
			require.Equal(t, c.want, out)
			require.Equal(t, c.code, code)
		})
	}
	url := (&stub{status: func() (*controlv1.GetStatusResponse, error) {
		e := equalNow()
		e.Capture = &meshv1.CaptureReport{At: e.GetAt(), Running: &meshv1.TableComparison{Id: "another"}}
		return &controlv1.GetStatusResponse{Equality: e}, nil
	}}).serve(t)
	_, code := outputOf(t, "reread", "mug", "--control", url, "--timeout", "300ms")
	require.Equal(t, 1, code)
	_, code = outputOf(t, "reread", "mug", "--control", url, "--no-wait")
	require.Zero(t, code)
}

func TestFailingCheckLine(t *testing.T) {
	check := &meshv1.FailingCheck{Check: "margin", Message: "division by zero", Since: timestamppb.Now()}
	require.Regexp(t, `^- check margin fails, since .+: division by zero$`, failingCheckLine(check))
	check.ProductId = "mug"
	require.Regexp(t, `division by zero \(for product mug\)$`, failingCheckLine(check))
}

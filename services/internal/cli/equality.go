package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// unknownBecause says why it is not known whether the tables and Stripe are equal; "" if it is known.
func unknownBecause(e *controlv1.Equality) string {
	switch {
	case e == nil:
		return "reconciliation does not say up to when the catalog is captured: it is of an older version"
	case e.GetUnknown() == "" && e.GetAsOf() == nil:
		return "reconciliation does not say up to when the catalog is captured"
	default:
		return e.GetUnknown()
	}
}

// verdict is the one line about equality: "equal as of 11:02:31", "12 products differ as of 11:02:31", or "unknown:
// ...".
func verdict(differing uint64, e *controlv1.Equality) string {
	why, differ := unknownBecause(e), counted(differing, "product differs", "products differ")
	switch {
	case why != "" && differing > 0:
		return "unknown: " + why + "; " + differ + " as far as is known" + asOf(e)
	case why != "":
		return "unknown: " + why
	case differing > 0:
		return differ + asOf(e)
	default:
		return "equal" + asOf(e)
	}
}

// both is what holds for two pages of an answer: the time of the first, and what is unknown of either.
func both(first, second *controlv1.Equality) *controlv1.Equality {
	if first == nil || unknownBecause(first) != "" {
		return first
	}
	first.Unknown = unknownBecause(second)
	return first
}

// asOf says up to when an answer takes commits into account: " as of 11:02:31".
func asOf(e *controlv1.Equality) string {
	if e.GetAsOf() == nil {
		return ""
	}
	return " as of " + clock(e.GetAsOf(), time.TimeOnly)
}

// compared says when the tables were last compared: "Tables last compared at 04:10." With tables that nobody watches,
// the answer is no younger than that for what they hold.
func compared(e *controlv1.Equality) string {
	words := "The tables were never compared as a whole."
	if at := e.GetTablesComparedAt(); at != nil {
		words = "Tables last compared at " + clock(at, "15:04") + "."
	}
	if tables := e.GetUnwatchedTables(); len(tables) > 0 {
		words += " Changes of " + listed(
			tables,
		) + " are found by a comparison only: the mapping reads them and does not watch them (driftless reread)."
	}
	return words
}

// clock is a time of today in the layout, and with the date else; in the zone of who reads it.
func clock(t *timestamppb.Timestamp, layout string) string {
	at, now := t.AsTime().Local(), time.Now()
	if at.YearDay() != now.YearDay() || at.Year() != now.Year() {
		layout = time.DateOnly + " " + layout
	}
	return at.Format(layout)
}

// listed names things in a sentence: "a", "a and b", "a, b and c".
func listed(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// counted is a number with its noun.
func counted(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

// grouped writes a number with commas.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// unreachable says why the control API cannot be asked, if that is what an error means.
func unreachable(err error) (why string, is bool) {
	var failed *connect.Error
	switch {
	case errors.Is(err, errNoMesh):
		return err.Error(), true
	case errors.As(err, &failed) && away(failed.Code()):
		return cmp.Or(failed.Message(), failed.Code().String()), true
	default:
		return "", false
	}
}

// orUnknown turns the failure to reach the control API, or of what it needs, into what it means for who asks about
// equality: nothing is known. It prints that, and ends the command with exit code 2. Any other error stays.
func orUnknown(c *cli, err error) error {
	why, is := unreachable(err)
	switch {
	case !is:
		return err
	case c.Output != "json":
		say(stdout, "unknown:", why)
		return errDiffers
	}
	// No count beside it: none is known.
	if err := json.NewEncoder(jsonOut).Encode(
		map[string]any{"equality": map[string]string{"unknown": why}}); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	return errDiffers
}

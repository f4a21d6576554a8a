package cli

import (
	"cmp"
	"errors"
	"io"
	"strings"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// unknownBecause returns why it is unknown whether the tables and Stripe are equal, or "" if it is known.
func unknownBecause(e *controlv1.Equality) string {
	switch {
	case e == nil:
		return "reconciliation does not report up to when the catalog is captured: its version is too old"
	case e.GetUnknown() == "" && e.GetAsOf() == nil:
		return "reconciliation does not report up to when the catalog is captured"
	default:
		return e.GetUnknown()
	}
}

// equalityLine returns the line about equality: "equal as of 11:02:31 CET", "12 products differ as of 11:02:31 CET", or
// "unknown: ...".
func equalityLine(differing uint64, e *controlv1.Equality) string {
	why, differ := unknownBecause(e), countOf(differing, "product differs", "products differ")
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

// mergeEquality returns the equality of two pages of one answer: the time of the first, and what is unknown in either.
func mergeEquality(first, second *controlv1.Equality) *controlv1.Equality {
	if first == nil || unknownBecause(first) != "" {
		return first
	}
	first.Unknown = unknownBecause(second)
	return first
}

// asOf returns the time up to which an answer includes commits, for the end of a sentence: " as of 11:02:31 CET".
func asOf(e *controlv1.Equality) string {
	if e.GetAsOf() == nil {
		return ""
	}
	return " as of " + formatClock(e.GetAsOf().AsTime(), time.TimeOnly)
}

// comparedLine says when the tables were last compared: "Tables last compared at 04:10." The answer is only that recent
// for tables that are not watched.
func comparedLine(e *controlv1.Equality) string {
	words := "The tables were never compared."
	if at := e.GetTablesComparedAt(); at != nil {
		words = "Tables last compared at " + formatClock(at.AsTime(), clockMinute) + "."
	}
	if tables := e.GetUnwatchedTables(); len(tables) > 0 {
		words += " Changes of " + joinNames(
			tables,
		) + " are found only by a comparison: the mapping reads them and does not watch them (driftless reread)."
	}
	return words
}

// joinNames joins names for a sentence: "a", "a and b", "a, b and c".
func joinNames(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// unreachable reports whether an error means that the control API cannot be asked, and returns the reason.
func unreachable(err error) (why string, is bool) {
	var failed *connect.Error
	switch {
	case errors.Is(err, errNoMesh):
		return err.Error(), true
	case errors.As(err, &failed) && isTransient(failed.Code()):
		return cmp.Or(failed.Message(), failed.Code().String()), true
	default:
		return "", false
	}
}

// reportUnknown handles the failure to reach the control API, or what that needs. Equality is then unknown: it prints
// that and ends the command with exit code 2. It returns any other error as it is.
func reportUnknown(c *cli, err error) error { return reportUnknownTo(stdout, c, err) }

// reportUnknownTo is reportUnknown for text that goes elsewhere.
func reportUnknownTo(w io.Writer, c *cli, err error) error {
	why, is := unreachable(err)
	switch {
	case !is:
		return err
	case c.Output != "json":
		say(w, "unknown:", why)
		return errDiffers
	}
	// There is no count beside it, since none is known.
	if err := printJSON(unknownAnswer{Equality: unknownEquality{Unknown: why}}); err != nil {
		return err
	}
	return errDiffers
}

package api

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Bounds of a refusal. It has violations as details, and the first of them in the message. No check looks for more than
// maxDetails.
const (
	maxDetails = catalog.MaxViolations
	maxLines   = 10
)

// invalidArgument returns the error of a call with faults, which wrote nothing.
func invalidArgument(faults []*ingestv1.FieldViolation) error {
	var b strings.Builder
	b.WriteString("nothing was written:")
	for i, f := range faults {
		if i == maxLines {
			if len(faults) > maxDetails {
				fmt.Fprintf(&b, "\n  and at least %d more", maxDetails-maxLines)
			} else {
				fmt.Fprintf(&b, "\n  and %d more", len(faults)-maxLines)
			}
			break
		}
		fmt.Fprintf(&b, "\n  %s", f.GetField())
		if f.GetProductId() != "" {
			fmt.Fprintf(&b, " (product %s)", f.GetProductId())
		}
		fmt.Fprintf(&b, ": %s", f.GetMessage())
	}
	err := connect.NewError(connect.CodeInvalidArgument, errors.New(b.String()))
	for _, f := range faults[:min(len(faults), maxDetails)] {
		if detail, detailErr := connect.NewErrorDetail(f); detailErr == nil {
			err.AddDetail(detail)
		}
	}
	return err
}

// remedies has the code and the remedy for an error of the database, by SQLSTATE or its class (the first two
// characters).
var remedies = map[string]struct {
	code connect.Code
	do   string
}{
	"08":    {connect.CodeUnavailable, "try again"},
	"22":    {connect.CodeInvalidArgument, "change the value"},
	"23":    {connect.CodeInvalidArgument, "change the value"},
	"25006": {connect.CodeUnavailable, "it is read-only, like a standby: set DATABASE_URL to the primary"},
	"28":    {connect.CodeUnavailable, "correct the user and password in DATABASE_URL"},
	"3F":    {connect.CodeFailedPrecondition, "restart ingestion: it creates the tables"},
	"40":    {connect.CodeAborted, "try again"},
	"42501": {
		connect.CodeFailedPrecondition,
		"run `GRANT USAGE ON SCHEMA driftless TO %[1]s; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " +
			"driftless TO %[1]s;`",
	},
	"42703": {connect.CodeFailedPrecondition, "restart ingestion: it updates the tables"},
	"42P01": {connect.CodeFailedPrecondition, "restart ingestion: it creates the tables"},
	"53":    {connect.CodeUnavailable, "give it more resources, then try again"},
	"55P03": {connect.CodeAborted, "another session has locked the rows: try again"},
	"57":    {connect.CodeUnavailable, "try again"},
}

// callError returns an answer for an error, with its remedy. The caller may repeat a call: a product that was written
// is not written twice.
func (s *server) callError(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, err)
	case ctx.Err() != nil:
		return connect.NewError(connect.CodeCanceled, err)
	}
	code, do := connect.CodeUnavailable, "try again"
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		code, do = connect.CodeInternal, "see the log of ingestion"
		for _, state := range []string{pg.Code, pg.Code[:min(len(pg.Code), 2)]} {
			if r, known := remedies[state]; known {
				code, do = r.code, r.do
				break
			}
		}
		if pg.Detail != "" {
			err = fmt.Errorf("%w: %s", err, pg.Detail)
		}
		if strings.Contains(do, "%[1]s") {
			do = fmt.Sprintf(do, pgx.Identifier{s.Pool.Config().ConnConfig.User}.Sanitize())
		}
	}
	s.Logger.ErrorContext(ctx, "a call failed", "error", err)
	return connect.NewError(code, fmt.Errorf("the catalog database: %w; %s", err, do))
}

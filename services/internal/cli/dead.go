package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

type deadCmd struct {
	List   deadListCmd   `cmd:"" default:"withargs" help:"List open dead letters, the latest first."`
	Show   deadShowCmd   `cmd:"" help:"Show the details of a product's dead letters, and its desired state."`
	Replay deadReplayCmd `cmd:"" help:"Retry the latest states of dead products."`
	Drop   deadDropCmd   `cmd:"" help:"Close dead letters without a retry."`
}

type deadListCmd struct {
	address
	Product []string `name:"product" placeholder:"PRODUCT" help:"Only letters of this product; may be repeated."`
	Reason  string   `name:"reason" placeholder:"REASON" help:"Only letters with this reason: ${reasons}."`
	Service string   `name:"service" placeholder:"SERVICE" help:"Only letters of this service: ingestion, push, pull or reconciliation."`
	Limit   uint32   `default:"100" help:"Maximum number of letters to list: the latest."`
}

// Help is shown by --help.
func (*deadListCmd) Help() string {
	return `Exits with 2 if it is unknown whether there are more, because reconciliation has not read all that the services
report.`
}

func (cmd *deadListCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	resp, err := client.ListDeadLetters(ctx, connect.NewRequest(&controlv1.ListDeadLettersRequest{
		Limit:      cmd.Limit,
		ProductIds: cmd.Product,
		Reason:     cmd.Reason,
		Service:    cmd.Service,
	}))
	if err != nil {
		return err
	}
	unknown, err := equalityUnknown(ctx, client)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		if err := printJSON(resp.Msg); err != nil || unknown == "" {
			return err
		}
		sayf(os.Stderr, "driftless: unknown: %s\n", unknown)
		return errDiffers
	}
	printDeadLetters(resp.Msg, unknown)
	if unknown != "" {
		return errDiffers
	}
	return nil
}

// equalityUnknown returns why it is not known whether both sides are equal, "" if it is known.
func equalityUnknown(ctx context.Context, client controlv1connect.ControlServiceClient) (string, error) {
	status, err := client.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
	if err != nil {
		if why, is := unreachable(err); is {
			return why, nil
		}
		return "", err
	}
	return unknownBecause(status.Msg.GetEquality()), nil
}

// printDeadLetters prints a list of open dead letters. unknown is why there may be more, "" if there are not.
func printDeadLetters(list *controlv1.ListDeadLettersResponse, unknown string) {
	shown, total := uint64(len(list.GetDeadLetters())), list.GetTotal()
	if shown > 0 {
		printDeadTable(list.GetDeadLetters())
	}
	count := countOf(max(total, shown), "dead letter is open", "dead letters are open")
	switch {
	case unknown != "":
		sayf(stdout, "unknown: %s; %s as far as is known\n", unknown, count)
	case shown == 0:
		say(stdout, "No dead letter is open.")
	case total > shown:
		sayf(stdout, "\n%s; these are the latest %d: --limit shows more\n", count, shown)
	}
}

func printDeadTable(letters []*meshv1.DeadLetter) {
	rows := [][]string{{"PRODUCT", "SERVICE", "REASON", "FIELD", "ATTEMPTS", "LAST", "MESSAGE"}}
	for _, l := range letters {
		rows = append(rows, []string{
			l.GetProductId(), l.GetService(), l.GetReason(), l.GetField(),
			strconv.FormatUint(uint64(l.GetAttempts()), 10), ago(l.GetLastAt()), l.GetMessage(),
		})
	}
	printTable(stdout, rows...)
}

type deadShowCmd struct {
	address
	Product string `arg:"" help:"Id of the product."`
}

func (cmd *deadShowCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	resp, err := client.GetDeadLetters(ctx,
		connect.NewRequest(&controlv1.GetDeadLettersRequest{ProductId: cmd.Product}))
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return printJSON(resp.Msg)
	}
	if len(resp.Msg.GetDeadLetters()) == 0 {
		sayf(stdout, "product %s has no open dead letter; `driftless history %s` shows what happened to it\n",
			cmd.Product, raw(visible.Argument(cmd.Product)))
		return nil
	}
	for i, d := range resp.Msg.GetDeadLetters() {
		if i > 0 {
			say(stdout)
		}
		if err := printDeadLetter(d); err != nil {
			return err
		}
	}
	return nil
}

func printDeadLetter(d *controlv1.DeadLetterDetail) error {
	l := d.GetDeadLetter()
	rows := [][]string{{"product", l.GetProductId()}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	if l.GetVersion() > 0 {
		add("version", strconv.FormatUint(l.GetVersion(), 10))
	}
	add("given up by", l.GetService())
	add("reason", l.GetReason())
	add("message", l.GetMessage())
	add("field", l.GetField())
	add("step", l.GetStep())
	add("Stripe's code", l.GetStripeCode())
	add("Stripe's request", l.GetStripeRequestId())
	add("attempts", strconv.FormatUint(uint64(l.GetAttempts()), 10))
	add("first", formatMoment(l.GetFirstAt()))
	add("last", formatMoment(l.GetLastAt()))
	add("trace", traceIDOf(l.GetTraceparent()))
	add("traceparent", l.GetTraceparent())
	if l.GetSubject() != "" {
		add("came from", fmt.Sprintf("%s, message %d of %s", l.GetSubject(), l.GetSequence(), l.GetStream()))
	}
	printTable(stdout, rows...)
	if err := printWanted(d.GetWanted()); err != nil {
		return err
	}
	if len(d.GetSteps()) > 0 {
		say(stdout, "remaining steps:")
		printSteps(d.GetSteps())
	}
	return nil
}

func printWanted(w *catalogv1.ProductChange) error {
	switch {
	case w == nil:
		say(stdout, "wanted: no longer known")
		return nil
	case w.GetOperation() == catalogv1.Operation_OPERATION_DELETE:
		say(stdout, "wanted: archived, because the product has left the catalog")
		return nil
	}
	data, err := protojson.MarshalOptions{UseProtoNames: true, Multiline: true}.Marshal(w.GetProduct())
	if err != nil {
		return fmt.Errorf("encode the wanted product: %w", err)
	}
	say(stdout, "wanted:")
	if _, err = jsonOut.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("write the wanted product: %w", err)
	}
	return nil
}

func printSteps(steps []*controlv1.PlannedStep) {
	for _, s := range steps {
		sayf(stdout, "  %s\n", s.GetStep())
		for _, param := range s.GetParameters() {
			sayf(stdout, "    %s = %s\n", param.GetName(), param.GetValue())
		}
	}
}

func formatMoment(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return formatWhen(t.AsTime(), time.DateTime) + " (" + ago(t) + ")"
}

// traceIDOf returns the trace id of a W3C traceparent, or "" if it is none.
func traceIDOf(traceparent string) string {
	if parts := strings.Split(traceparent, "-"); len(parts) == 4 {
		return parts[1]
	}
	return ""
}

// deadLetters selects the dead letters of a command.
type deadLetters struct {
	Products []string `arg:"" optional:"" name:"product" help:"Ids of products."`
	Reason   string   `name:"reason" placeholder:"REASON" help:"Letters with this reason (${reasons}). With PRODUCT, only of these products."`
	Service  string   `name:"service" placeholder:"SERVICE" help:"Letters of this service: ingestion, push, pull or reconciliation. With PRODUCT, only of these products."`
	All      bool     `name:"all" help:"All open dead letters, or all that match the other selections."`
	Why      string   `name:"why" placeholder:"TEXT" help:"Why you do this. It is kept in the audit trail."`
	who
}

func (d deadLetters) selection() (*controlv1.DeadLetterSelection, error) {
	if len(d.Products) == 0 && d.Reason == "" && d.Service == "" && !d.All {
		return nil, errors.New(
			"nothing is selected: name products, or set --reason, --service or --all (`driftless dead list` shows the open letters)")
	}
	return &controlv1.DeadLetterSelection{ProductIds: d.Products, Reason: d.Reason, Service: d.Service, All: d.All}, nil
}

// eachPage applies part to a selection page by page, as the control API takes it. It stops after a page with a failure,
// since the next one would most likely fail too.
func (d deadLetters) eachPage(
	part func(*controlv1.DeadLetterSelection) (results []*controlv1.DeadLetterResult, truncated bool, err error)) (
	[]*controlv1.DeadLetterResult, error,
) {
	selection, err := d.selection()
	if err != nil {
		return nil, err
	}
	var all []*controlv1.DeadLetterResult
	for {
		results, truncated, err := part(selection)
		all = append(all, results...)
		switch failed := slices.ContainsFunc(results,
			func(r *controlv1.DeadLetterResult) bool { return r.GetError() != "" && r.GetLetterId() != "" }); {
		case err != nil || !truncated || len(results) == 0:
			return all, err
		case failed:
			return all, errors.New("stopped with more letters selected: fix the failure, then run the command again")
		}
		selection = proto.CloneOf(selection)
		selection.After = results[len(results)-1].GetProductId()
	}
}

func countFailures(results []*controlv1.DeadLetterResult) (n int) {
	for _, r := range results {
		if r.GetError() != "" {
			n++
		}
	}
	return n
}

// report prints the result of each letter. An error does not hide the results before it.
func report(c *cli, whole proto.Message, results []*controlv1.DeadLetterResult,
	done func(*controlv1.DeadLetterResult) string, err error,
) error {
	switch {
	case c.Output == "json" && (err == nil || len(results) > 0):
		err = errors.Join(err, printJSON(whole))
	case len(results) > 0:
		rows := [][]string{{"PRODUCT", "SERVICE", "REASON", "RESULT"}}
		for _, r := range results {
			result := "failed: " + r.GetError()
			if r.GetError() == "" {
				result = done(r)
			}
			rows = append(rows, []string{r.GetProductId(), r.GetService(), r.GetReason(), result})
		}
		printTable(stdout, rows...)
	case err == nil:
		say(stdout, "no open dead letter matches the selection")
	}
	switch n := countFailures(results); {
	case n == 0:
		return err
	case err == nil:
		return fmt.Errorf("%d of %d failed", n, len(results))
	default:
		return fmt.Errorf("%d of %d failed: %w", n, len(results), err)
	}
}

type deadReplayCmd struct {
	address
	deadLetters
}

// Help is shown by --help.
func (*deadReplayCmd) Help() string {
	return `Retries the latest state of each product, never the state that was refused. A change that push or pull gave up is pushed
again after a reread from Stripe. A product that ingestion refused is read from the catalog again.

A letter stays open until the product is synced to its latest state. If that is refused too, a new letter replaces it:
"driftless dead list" shows what is left, "driftless history PRODUCT" what happened. A letter without a version is closed
by the command.

PRODUCT, --reason, --service or --all is required. Exits with 1 if a letter could not be ordered.`
}

func (cmd *deadReplayCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	results, err := cmd.eachPage(func(s *controlv1.DeadLetterSelection) ([]*controlv1.DeadLetterResult, bool, error) {
		resp, err := client.ReplayDeadLetters(ctx,
			connect.NewRequest(&controlv1.ReplayDeadLettersRequest{
				Selection: s,
				Actor:     cmd.actor(),
				Reason:    cmd.Why,
			}))
		if err != nil {
			return nil, false, err
		}
		return resp.Msg.GetResults(), resp.Msg.GetTruncated(), nil
	})
	return report(c, &controlv1.ReplayDeadLettersResponse{Results: results}, results,
		func(r *controlv1.DeadLetterResult) string {
			return "command sent to " + r.GetOrdered()
		}, err)
}

type deadDropCmd struct {
	address
	deadLetters
	sure
}

// Help is shown by --help.
func (*deadDropCmd) Help() string {
	return `Closes the letters and records it in the history. Nothing is retried by this alone. But a product that still differs
counts as pending, drifts, and is repaired by policy; a change that is refused then becomes a new letter. To retry the
latest state, use "driftless dead replay".

PRODUCT, --reason, --service or --all is required. Exits with 1 if a letter could not be dropped.`
}

func (cmd *deadDropCmd) Run(ctx context.Context, c *cli) error {
	if len(cmd.Products) == 0 && (cmd.All || cmd.Reason != "" || cmd.Service != "") {
		if err := cmd.ask("Drop all dead letters that match, without another attempt?"); err != nil {
			return err
		}
	}
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	results, err := cmd.eachPage(func(s *controlv1.DeadLetterSelection) ([]*controlv1.DeadLetterResult, bool, error) {
		resp, err := client.DropDeadLetters(ctx,
			connect.NewRequest(&controlv1.DropDeadLettersRequest{Selection: s, Why: cmd.Why, Actor: cmd.actor()}))
		if err != nil {
			return nil, false, err
		}
		return resp.Msg.GetResults(), resp.Msg.GetTruncated(), nil
	})
	return report(c, &controlv1.DropDeadLettersResponse{Results: results}, results,
		func(*controlv1.DeadLetterResult) string { return "dropped" }, err)
}

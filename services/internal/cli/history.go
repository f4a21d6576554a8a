package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

type historyCmd struct {
	address
	historyAtFlags
	Product string `arg:"" optional:"" name:"id" help:"Id of the product, or any other id that why takes. With --at the id of a product, and by default all products."`
	Limit   uint32 `default:"100" help:"Maximum number of entries: the latest."`
}

func (cmd *historyCmd) Run(ctx context.Context, c *cli) error {
	switch {
	case cmd.At != "":
		return cmd.showAt(ctx, c)
	case cmd.Product == "" || cmd.Side != "":
		return errors.New("name a product, or give --at TIME for the products of a time; --side goes with --at")
	}
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	resp, err := client.ListHistory(ctx,
		connect.NewRequest(&controlv1.ListHistoryRequest{ProductId: cmd.Product, Limit: cmd.Limit}))
	if err != nil {
		return err
	}
	history := resp.Msg
	if err := cmd.checkFound(history); err != nil {
		return err
	}
	if c.Output == "json" {
		err = printJSON(history)
	} else {
		cmd.print(history)
	}
	if err == nil && history.GetUnknown() != "" {
		return errDiffers
	}
	return err
}

// checkFound returns an error unless the id stands for one product. Nothing to show is not the same as a product to
// which nothing happened.
func (cmd *historyCmd) checkFound(history *controlv1.ListHistoryResponse) error {
	products := history.GetProductIds()
	switch {
	case len(products) > 1:
		return fmt.Errorf("%s stands for several products: name one of %s", cmd.Product, strings.Join(products, ", "))
	case len(products) == 1 || len(history.GetEntries()) > 0:
		return nil
	}
	words := "it is no id of a product, price, event, request or trace, and no lookup key"
	if history.GetUnknown() != "" {
		words += "; " + history.GetUnknown()
	}
	return fmt.Errorf("nothing is known of %s: %s", cmd.Product, words)
}

func (cmd *historyCmd) print(history *controlv1.ListHistoryResponse) {
	if products := history.GetProductIds(); len(products) == 1 && products[0] != cmd.Product {
		say(stdout, "product "+products[0])
	}
	for _, e := range history.GetEntries() {
		printEntry(e)
	}
	if history.GetUnknown() != "" {
		say(stdout, "unknown: "+history.GetUnknown())
	}
}

// namesActor reports whether the detail of an entry says who caused it, and why.
func namesActor(e *controlv1.HistoryEntry) bool {
	switch e.GetKind() {
	case "catalog_change", "adopted", "adoption_refused":
		return false
	}
	return true
}

// printEntry prints one line for an entry, and one for each of its fields, differences or calls.
func printEntry(e *controlv1.HistoryEntry) {
	head := []string{formatWhen(e.GetAt().AsTime(), dateMillis), e.GetKind()}
	if e.GetVersion() != 0 {
		head = append(head, fmt.Sprintf("version %d", e.GetVersion()))
	}
	if e.GetAttempts() != 0 {
		head = append(head, fmt.Sprintf("attempt %d", e.GetAttempts()))
	}
	if e.GetCausedBy() != "" {
		head = append(head, "by "+visible.Words(e.GetCausedBy()))
	}
	if e.GetActor() != "" && !namesActor(e) {
		head = append(head, "by "+e.GetActor())
	}
	if e.GetStripeRequestId() != "" {
		head = append(head, e.GetStripeRequestId())
	}
	if e.GetTraceId() != "" {
		head = append(head, "trace "+e.GetTraceId())
	}
	say(stdout, strings.Join(head, "  "))
	// The differences say what a detail says, except who rejected a change, and why.
	if len(e.GetSteps()) == 0 && (len(e.GetDifferences()) == 0 || e.GetKind() == "rejected") && e.GetDetail() != "" {
		say(stdout, "    "+e.GetDetail())
	}
	if e.GetReason() != "" && !namesActor(e) {
		say(stdout, "    why: "+e.GetReason())
	}
	if e.GetNextAttemptAt() != nil {
		say(stdout, "    next attempt at "+formatWhen(e.GetNextAttemptAt().AsTime(), dateMillis))
	}
	for _, f := range e.GetChanges() {
		sayf(stdout, "    %s: %q -> %q\n", f.GetField(), f.GetOld(), f.GetNew())
	}
	for _, d := range e.GetDifferences() {
		say(stdout, "    "+differenceLine(d))
	}
	for _, s := range e.GetSteps() {
		sayf(stdout, "    %s  %s  %s\n", s.GetStep(), s.GetObjectId(), s.GetStripeRequestId())
	}
	if e.GetNote() != "" {
		say(stdout, "    "+e.GetNote())
	}
}

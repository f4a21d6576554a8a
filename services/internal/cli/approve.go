package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// heldSelection says which held changes a command decides about, who decides, and why.
type heldSelection struct {
	Products []string `arg:"" optional:"" help:"Ids of products whose change is held."`
	Rule     string   `placeholder:"NAME" help:"All changes that this rule of the guard holds: amount_change, zero_amount, no_active_price, no_default_price, replaced_prices, lost_currency, archived_products, check, or check:NAME."`
	All      bool     `help:"All held changes."`
	Version  uint64   `name:"held-version" placeholder:"VERSION" help:"Only the change of this version: hold.version of the product in -o json of plan. Another one that is held by now is left. With one product."`
	because
	sure
}

// check returns an error if the command line selects nothing, or too much, or gives no reason.
func (s *heldSelection) check(verb, otherwise string) error {
	named := 0
	for _, given := range []bool{len(s.Products) > 0, s.Rule != "", s.All} {
		if given {
			named++
		}
	}
	switch {
	case named > 1:
		return errors.New("products, --rule and --all: give only one of them")
	case named == 0 && otherwise == "":
		return errors.New("nothing is selected: name products, or give --rule NAME or --all; " +
			"`driftless plan` shows what is held")
	case named == 0 && otherwise != "set":
		return errors.New("nothing is selected: name products, or give --rule NAME or --all" + otherwise +
			"; `driftless plan` shows what is held")
	case s.Version != 0 && len(s.Products) != 1:
		return errors.New("--held-version: give one product with it")
	case strings.TrimSpace(s.Reason) == "":
		return errors.New("the reason is missing: say with --reason TEXT why you " + verb +
			"; it is kept in the audit trail")
	}
	return nil
}

// seen returns which change the caller has seen, nil if the command line does not say it.
func (s *heldSelection) seen() *controlv1.SeenChanges {
	if s.Version == 0 {
		return nil
	}
	return &controlv1.SeenChanges{Versions: map[string]uint64{s.Products[0]: s.Version}}
}

// changedError returns the error about products that hold another change than the one that was seen, nil if there are
// none.
func changedError(products []string) error {
	if len(products) == 0 {
		return nil
	}
	return fmt.Errorf("%s: another version is held now, and nothing was decided: `driftless plan %s` shows it",
		strings.Join(products, ", "), visible.Argument(products[0]))
}

// askMany asks before a decision about changes that the command line does not name one by one.
func (s *heldSelection) askMany(verb string, window bool) error {
	switch {
	case window && s.Rule != "":
		return s.ask("Let the rule " + s.Rule + " pass every change for a while?")
	case window:
		return s.ask("Let every rule pass every change for a while?")
	case s.All:
		return s.ask(verb + " all held changes?")
	case s.Rule != "":
		return s.ask(verb + " all changes that the rule " + s.Rule + " holds?")
	default:
		return nil
	}
}

// localActor names the user of this machine: "ann@laptop".
func localActor() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return cmp.Or(name, "unknown") + "@" + host
}

// pages returns the products of each request. Without products there is one request.
func (s *heldSelection) pages() [][]string {
	if len(s.Products) == 0 {
		return [][]string{nil}
	}
	return slices.Collect(slices.Chunk(s.Products, maxSyncPage))
}

type approveCmd struct {
	address
	heldSelection
	For *time.Duration `placeholder:"DURATION" help:"How long the rule, or every rule, lets every change pass, at most a day. With --rule or --all, or alone. 0 ends that."`
}

// Help is shown by --help.
func (*approveCmd) Help() string {
	return `Push holds a change that a rule of the guard finds dangerous. Everything else goes on. The command approves
held changes in the versions that are held now: if the catalog changes again, push judges the new state.
--rule approves what this rule alone holds. A change that other rules hold too is named, and stays held.

With guard_approvers: 2 a change needs the approvals of two different people.`
}

func (cmd *approveCmd) Run(ctx context.Context, c *cli) error {
	otherwise := ", or --for DURATION to let every change pass for a while"
	if cmd.For != nil {
		otherwise = "set"
	}
	if err := cmd.check("approve", otherwise); err != nil {
		return err
	}
	if err := cmd.askMany("Approve", cmd.For != nil && *cmd.For > 0); err != nil {
		return err
	}
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	all := &controlv1.ApproveResponse{}
	for _, page := range cmd.pages() {
		request := &controlv1.ApproveRequest{
			ProductIds: page,
			Rule:       cmd.Rule,
			All:        cmd.All,
			Actor:      cmd.actor(),
			Reason:     cmd.Reason,
			Seen:       cmd.seen(),
		}
		if cmd.For != nil {
			request.Duration = durationpb.New(*cmd.For)
		}
		for {
			resp, err := client.Approve(ctx, connect.NewRequest(request))
			if err != nil {
				return err
			}
			all.Until = resp.Msg.GetUntil()
			all.ProductIds = append(all.ProductIds, resp.Msg.GetProductIds()...)
			all.Waiting = append(all.Waiting, resp.Msg.GetWaiting()...)
			all.HeldByOthers = append(all.HeldByOthers, resp.Msg.GetHeldByOthers()...)
			all.Changed = append(all.Changed, resp.Msg.GetChanged()...)
			if !isNextPage(resp.Msg.GetNext(), request.GetAfter()) {
				break
			}
			request.After = resp.Msg.GetNext()
		}
	}
	if c.Output == "json" {
		return errors.Join(printJSON(all), changedError(all.GetChanged()))
	}
	if err := changedError(all.GetChanged()); err != nil {
		return err
	}
	cmd.print(all)
	return nil
}

func (cmd *approveCmd) print(all *controlv1.ApproveResponse) {
	for _, id := range all.GetProductIds() {
		sayf(stdout, "%s  approved\n", id)
	}
	for _, id := range all.GetWaiting() {
		sayf(stdout, "%s  needs the approval of another person\n", id)
	}
	for _, id := range all.GetHeldByOthers() {
		sayf(stdout, "%s  still held: other rules hold it, too (driftless plan %s)\n", id, visible.Argument(id))
	}
	count := countOf(uint64(len(all.GetProductIds())), "held change is approved", "held changes are approved")
	if len(all.GetProductIds()) > 0 {
		count += ": push makes it now"
		if len(all.GetProductIds()) > 1 {
			count = strings.TrimSuffix(count, "it now") + "them now"
		}
	}
	if cmd.For == nil || *cmd.For > 0 {
		say(stdout, count)
	}
	which, end := "every rule", ""
	if cmd.Rule != "" {
		which, end = "the rule "+cmd.Rule, " --rule "+cmd.Rule
	}
	switch {
	case all.GetUntil() != nil:
		sayf(stdout, "until %s %s lets every change pass; `driftless approve%s --for 0s --reason TEXT` ends that\n",
			formatClock(all.GetUntil().AsTime(), time.TimeOnly), which, end)
	case cmd.For != nil:
		sayf(stdout, "%s holds dangerous changes again\n", which)
	}
}

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/pull"
)

type webhookCmd struct {
	List   webhookListCmd   `cmd:"" help:"Show the account's webhook endpoints and what they lack for Driftless. Exits with 2 if none fits."`
	Create webhookCreateCmd `cmd:"" help:"Create the endpoint that sends Stripe's events to pull, or repair the existing one."`
	Rotate webhookRotateCmd `cmd:"" help:"Replace the endpoint's signing secret in two steps without losing an event: rotate, then rotate --finish."`
}

// webhookStripe says how the commands reach Stripe.
type webhookStripe struct {
	StripeAPIKey  config.Secret `name:"stripe-api-key" env:"STRIPE_API_KEY" secret:"" help:"Key that may read and write webhook endpoints."`
	StripeAPIBase string        `name:"stripe-api-base" env:"STRIPE_API_BASE" default:"https://api.stripe.com" help:"Address of Stripe's API."`
	StripeAccount string        `name:"stripe-account" env:"STRIPE_ACCOUNT" placeholder:"acct_..." help:"Connected account of this mesh. The endpoint is then the platform's and gets the events of all its connected accounts."`
	Account       string        `name:"account" env:"DRIFTLESS_ACCOUNT" default:"default" help:"Name of the Stripe account in Driftless, for the endpoint's description."`
}

// client acts on the key's own account, since the endpoints for connected accounts are the platform's.
func (s webhookStripe) client() (client *stripeapi.Client, live bool, err error) {
	if s.StripeAPIKey == "" {
		return nil, false, errors.New("STRIPE_API_KEY is not set: set a key that may read and write webhook endpoints")
	}
	mode, err := stripeapi.KeyModeOf(s.StripeAPIKey.Reveal())
	return stripeapi.New(stripeapi.Config{Key: s.StripeAPIKey.Reveal(), Base: s.StripeAPIBase}),
		mode == stripeapi.LiveMode, err
}

// Keys of an endpoint's metadata.
const (
	accountKey  = stripeapi.EndpointAccountKey
	replacesKey = "driftless_replaces"
)

func (s webhookStripe) wanted(address string) stripeapi.NewEndpoint {
	return stripeapi.NewEndpoint{
		URL:         address,
		Description: "Driftless, account " + s.Account,
		Connect:     s.StripeAccount != "",
		Metadata:    map[string]string{accountKey: s.Account},
	}
}

func listEndpoints(ctx context.Context, client *stripeapi.Client) ([]stripeapi.Endpoint, error) {
	all, err := client.ListEndpoints(ctx)
	if stripeapi.IsForbidden(err) {
		return nil, fmt.Errorf(
			"%w: the key needs the permission to read and write webhook endpoints; only this command needs it", err)
	}
	return all, err
}

// endpointURL checks the address that Stripe will send events to, and adds the default path.
func endpointURL(given string, live bool) (string, error) {
	u, err := url.Parse(given)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "", fmt.Errorf(
			"%q is not an address that Stripe can call: set the public address of pull, like https://sync.example.com%s",
			given, pull.WebhookPath)
	case u.Scheme == "http" && live:
		return "", fmt.Errorf("%s: in live mode Stripe only calls https:// addresses", given)
	case u.User != nil:
		return "", fmt.Errorf("%s: remove the user and password; pull recognises Stripe's calls by their signature",
			u.Redacted())
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = pull.WebhookPath
	}
	return u.String(), nil
}

type webhookListCmd struct{ webhookStripe }

func (cmd *webhookListCmd) Run(ctx context.Context, c *cli) error {
	client, _, err := cmd.client()
	if err != nil {
		return err
	}
	all, err := listEndpoints(ctx, client)
	if err != nil {
		return err
	}
	fits := slices.ContainsFunc(all, func(e stripeapi.Endpoint) bool { return len(e.Problems()) == 0 })
	if c.Output == "json" {
		var out webhooksAnswer
		for _, e := range all {
			out.Endpoints = append(out.Endpoints, judgedEndpoint{e, e.Problems()})
		}
		if err := printJSON(out); err != nil {
			return err
		}
	} else {
		rows := [][]string{{"ENDPOINT", "URL", "STATUS", "API VERSION", "FOR DRIFTLESS"}}
		for _, e := range all {
			verdict := "fits"
			if problems := e.Problems(); len(problems) > 0 {
				verdict = strings.Join(problems, "; ")
			}
			rows = append(rows, []string{e.ID, e.URL, e.Status, e.APIVersion, verdict})
		}
		printTable(stdout, rows...)
	}
	if !fits {
		return errDiffers
	}
	return nil
}

type webhookCreateCmd struct {
	webhookStripe
	secretDestination
	URL string `arg:"" help:"Public address of pull, like https://sync.example.com/stripe/webhook. The path is optional."`
}

func (cmd *webhookCreateCmd) Run(ctx context.Context, c *cli) error {
	client, live, err := cmd.client()
	if err != nil {
		return err
	}
	at, err := endpointURL(cmd.URL, live)
	if err != nil {
		return err
	}
	all, err := listEndpoints(ctx, client)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(all, func(e stripeapi.Endpoint) bool { return e.URL == at }); i >= 0 {
		return repairEndpoint(ctx, c, client, all[i])
	}
	return cmd.create(ctx, c, client, cmd.wanted(at), len(all))
}

// repairEndpoint updates an existing endpoint to what Driftless needs.
func repairEndpoint(ctx context.Context, c *cli, client *stripeapi.Client, e stripeapi.Endpoint) error {
	if e.APIVersion != stripeapi.PinnedVersion {
		return fmt.Errorf(
			"%s sends to %s in API version %q, but pull reads %s; the version cannot be changed: `driftless webhook rotate %s` replaces the endpoint",
			e.ID, e.URL, e.APIVersion, stripeapi.PinnedVersion, e.ID)
	}
	lacked := e.Problems()
	if len(lacked) > 0 {
		if _, err := client.UpdateEndpoint(ctx, e); err != nil {
			return err
		}
	}
	switch {
	case c.Output == "json":
		return printJSON(webhookAnswer{Endpoint: e, Repaired: lacked})
	case len(lacked) > 0:
		sayf(stdout, "%s sends to %s; repaired: %s\n", e.ID, e.URL, strings.Join(lacked, "; "))
	default:
		sayf(stdout, "%s sends to %s and needs no repair\n", e.ID, e.URL)
	}
	sayf(stdout,
		"Stripe shows a secret only once. If it is lost, run `driftless webhook rotate %s`, or copy it from Stripe's Dashboard.\n", e.ID)
	return nil
}

// create creates an endpoint once it is certain that its secret can be stored.
func (d secretDestination) create(ctx context.Context, c *cli, client *stripeapi.Client, n stripeapi.NewEndpoint,
	have int,
) error {
	if have >= stripeapi.MaxEndpoints {
		return fmt.Errorf(
			"the account has %d webhook endpoints, the maximum that Stripe allows: delete one first (`driftless webhook list` shows them)", have)
	}
	keep, err := d.open(c)
	if err != nil {
		return err
	}
	e, err := client.CreateEndpoint(ctx, n)
	if err != nil {
		return errors.Join(err, keep.discard())
	}
	if have+1 == stripeapi.MaxEndpoints {
		sayf(os.Stderr,
			"This is the last of %d endpoints that Stripe allows: rotating a secret needs room for one more.\n",
			stripeapi.MaxEndpoints)
	}
	if err := keep.store(c, e); err != nil {
		// Without its secret the endpoint is of no use, and its deliveries would fail.
		return errors.Join(err, client.DeleteEndpoint(context.WithoutCancel(ctx), e.ID))
	}
	return nil
}

type webhookRotateCmd struct {
	webhookStripe
	secretDestination
	Endpoint            string         `arg:"" optional:"" help:"Id or URL of the endpoint. Required if there are several."`
	Finish              bool           `help:"Second step: check that pull accepts the new secret, then delete the old endpoint."`
	Yes                 bool           `help:"Delete the old endpoint without a question."`
	StripeWebhookSecret config.Secrets `name:"stripe-webhook-secret" env:"STRIPE_WEBHOOK_SECRET" secret:"" help:"Without --secret-file: the secrets that pull has, the new one last."`
}

func (cmd *webhookRotateCmd) Run(ctx context.Context, c *cli) error {
	client, live, err := cmd.client()
	if err != nil {
		return err
	}
	all, err := listEndpoints(ctx, client)
	if err != nil {
		return err
	}
	if cmd.Finish {
		return cmd.finish(ctx, c, client, all)
	}
	// An endpoint that replaces another is not itself replaced.
	old, err := cmd.chooseEndpoint(all, func(e stripeapi.Endpoint) bool {
		return !slices.ContainsFunc(all,
			func(other stripeapi.Endpoint) bool { return other.ID == e.Metadata[replacesKey] })
	})
	if err != nil {
		return err
	}
	if next := successor(all, old.ID); next != nil {
		return fmt.Errorf(
			"%s is already being replaced by %s: run `driftless webhook rotate --finish`, or delete %s in Stripe to begin again", old.ID, next.ID, next.ID)
	}
	at, err := endpointURL(old.URL, live)
	if err != nil {
		return err
	}
	n := cmd.wanted(at)
	n.Metadata[replacesKey] = old.ID
	if err := cmd.create(ctx, c, client, n, len(all)); err != nil {
		return err
	}
	sayf(os.Stderr,
		`Both endpoints send every event until you finish; pull processes each once. Pull refuses the events of the new endpoint,
and Stripe resends them, until pull has its secret. So:
1. set both secrets, separated by a comma, in pull's STRIPE_WEBHOOK_SECRET, and restart pull;
2. run driftless webhook rotate --finish %s;
3. remove the old secret.
`, old.ID)
	return nil
}

// successor returns the endpoint that was created to replace another, or nil.
func successor(all []stripeapi.Endpoint, id string) *stripeapi.Endpoint {
	for i, e := range all {
		if e.Metadata[replacesKey] == id {
			return &all[i]
		}
	}
	return nil
}

// chooseEndpoint returns the endpoint that the command is about.
func (cmd *webhookRotateCmd) chooseEndpoint(all []stripeapi.Endpoint,
	candidate func(stripeapi.Endpoint) bool,
) (stripeapi.Endpoint, error) {
	var found []stripeapi.Endpoint
	for _, e := range all {
		named := e.ID == cmd.Endpoint || e.URL == cmd.Endpoint
		if named && (e.ID == cmd.Endpoint || candidate(e)) ||
			cmd.Endpoint == "" && e.Metadata[accountKey] == cmd.Account && candidate(e) {
			found = append(found, e)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return stripeapi.Endpoint{},
			errors.New("several endpoints match: name one by its id (`driftless webhook list` shows them)")
	case cmd.Endpoint == "":
		return stripeapi.Endpoint{},
			fmt.Errorf("there is no endpoint of Driftless's account %s: name one by its id or URL (`driftless webhook list` shows them)", cmd.Account)
	default:
		return stripeapi.Endpoint{},
			fmt.Errorf("there is no endpoint %s (`driftless webhook list` shows them)", cmd.Endpoint)
	}
}

// finish deletes the old endpoint once pull accepts events of the new one.
func (cmd *webhookRotateCmd) finish(ctx context.Context, c *cli, client *stripeapi.Client,
	all []stripeapi.Endpoint,
) error {
	old, err := cmd.chooseEndpoint(all, func(e stripeapi.Endpoint) bool { return successor(all, e.ID) != nil })
	if err != nil {
		return err
	}
	next := successor(all, old.ID)
	if next == nil {
		return fmt.Errorf("%s is not being replaced: run `driftless webhook rotate %s` first", old.ID, old.ID)
	}
	if problems := next.Problems(); len(problems) > 0 {
		return fmt.Errorf("%s cannot replace %s: %s; run `driftless webhook create %s` to repair it", next.ID,
			old.ID, strings.Join(problems, "; "), next.URL)
	}
	secret, err := cmd.latestSecret(cmd.StripeWebhookSecret)
	if err != nil {
		return err
	}
	if err := checkSecret(ctx, next.URL, secret, next.Livemode); err != nil {
		return fmt.Errorf("%w; %s is kept, and nothing is lost", err, old.ID)
	}
	if c.Output != "json" {
		sayf(stdout, "pull accepts the new secret at %s\n", next.URL)
	}
	if !cmd.Yes && !confirm(fmt.Sprintf("Delete the old endpoint %s?", old.ID)) {
		return fmt.Errorf("%s is kept: both endpoints send every event until it is deleted", old.ID)
	}
	if err := client.DeleteEndpoint(ctx, old.ID); err != nil {
		return err
	}
	if c.Output == "json" {
		return printJSON(webhookAnswer{Endpoint: *next, Deleted: old.ID})
	}
	sayf(stdout, "%s is deleted; %s sends to %s. Remove the old secret from STRIPE_WEBHOOK_SECRET.\n", old.ID, next.ID,
		next.URL)
	return nil
}

// checkSecret returns an error unless pull accepts an event that is signed with the secret.
func checkSecret(ctx context.Context, url, secret string, live bool) error {
	refused, err := sendProbe(ctx, url, secret, live)
	if err == nil && refused != "" {
		err = fmt.Errorf("pull does not accept the new secret yet (%s): set both secrets and restart pull", refused)
	}
	return err
}

// sendProbe sends pull a signed event of a type that pull does not store. refused is pull's answer if it refuses the
// event.
func sendProbe(ctx context.Context, url, secret string, live bool) (refused string, err error) {
	body, err := json.Marshal(map[string]any{
		"id": "evt_driftless_probe", "object": "event", "type": "driftless.probe", "created": time.Now().Unix(),
		"livemode":    live,
		"api_version": stripeapi.PinnedVersion,
		"data":        map[string]any{"object": map[string]any{"id": "probe", "object": "probe"}},
	})
	if err != nil {
		return "", fmt.Errorf("write a probe: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("call %s: %w", url, err)
	}
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: secret})
	req.Header.Set("Stripe-Signature", signed.Header)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("%s does not answer from here, so it is unknown whether pull has the new secret: %w",
			url, err)
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if resp.StatusCode != http.StatusOK {
		return resp.Status + ": " + strings.TrimSpace(string(said)), nil
	}
	return "", nil
}

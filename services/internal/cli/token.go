package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/auth"
)

type tokenCmd struct {
	New  tokenNewCmd  `cmd:"" help:"Make a token. Prints it once, and the line with its hash for DRIFTLESS_TOKENS."`
	Hash tokenHashCmd `cmd:"" help:"Print the line for DRIFTLESS_TOKENS of a token that exists, which is read from standard input."`
}

// tokenEntry is a token as the settings have it.
type tokenEntry struct {
	Name     string `arg:"" help:"Name of the token. The audit trail has it for everything that is done with the token."`
	Role     string `required:"" enum:"read,operate,approve" help:"read: look at everything. operate: also change the catalog and run the mesh. approve: also decide about changes that the guard holds."`
	Expires  string `placeholder:"WHEN" help:"When the token stops working: after a duration such as 90d or 12h, or at the end of a date such as 2027-02-25 (UTC). Defaults to never."`
	Delegate bool   `help:"Let the holder act on behalf of others, whom it names with each call. Only for a console or a proxy that knows its users."`
}

// entry returns the entry of a token with this hash.
func (t tokenEntry) entry(hash auth.Hash, now time.Time) (auth.Entry, error) {
	e := auth.Entry{Name: t.Name, Hash: hash, Delegate: t.Delegate}
	if err := auth.CheckName(t.Name); err != nil {
		return e, err
	}
	var err error
	if e.Role, err = auth.ParseRole(t.Role); err != nil {
		return e, err
	}
	if t.Expires == "" {
		return e, nil
	}
	if left, ago := parseAgo(t.Expires); ago == nil {
		e.Expires = now.Add(left).UTC().Truncate(time.Second)
	} else if err := e.Set("expires", t.Expires); err != nil {
		return e, fmt.Errorf("--expires: %q is neither a duration such as 90d nor a date such as 2027-02-25", t.Expires)
	}
	if !e.Expires.After(now) {
		return e, fmt.Errorf("--expires: %s is over: the token would never work", t.Expires)
	}
	return e, nil
}

type tokenNewCmd struct {
	tokenEntry
	TokenFile string `name:"token-file" placeholder:"FILE" help:"Write the token to this new file, readable only by its owner, instead of printing it."`
}

// Help is shown by --help.
func (*tokenNewCmd) Help() string {
	return `Nobody can read the token again: the settings have only its hash. Give the token to its holder as
DRIFTLESS_TOKEN. Add the line to the file of DRIFTLESS_TOKENS_FILE of ingestion and reconciliation, which read it again
within seconds. To revoke a token, remove its line.`
}

func (cmd *tokenNewCmd) Run(c *cli) error {
	token := auth.NewToken()
	hash, err := auth.HashToken(token)
	if err != nil {
		return err
	}
	entry, err := cmd.entry(hash, time.Now())
	if err != nil {
		return err
	}
	if cmd.TokenFile != "" {
		if err := writeNew("--token-file", cmd.TokenFile, token+"\n"); err != nil {
			return err
		}
		token = ""
	}
	return printToken(c, entry, token)
}

// printToken prints the line for the settings, and a token that is not empty.
func printToken(c *cli, entry auth.Entry, token string) error {
	if c.Output == "json" {
		answer := tokenAnswer{Name: entry.Name, Role: entry.Role.String(), Token: token, Entry: entry.String()}
		if !entry.Expires.IsZero() {
			answer.Expires = &entry.Expires
		}
		return printJSON(answer)
	}
	if token != "" {
		sayf(stdout, "DRIFTLESS_TOKEN (of %s alone, a secret that is not shown again):\n%s\n\n"+
			"DRIFTLESS_TOKENS (of ingestion and reconciliation):\n", entry.Name, token)
	}
	say(stdout, entry.String())
	return nil
}

type tokenHashCmd struct {
	tokenEntry
}

// maxTokenInput is more than any token has, in bytes.
const maxTokenInput = 64 << 10

func (cmd *tokenHashCmd) Run(c *cli) error {
	if isTerminal(os.Stdin) {
		return errors.New("standard input is a terminal, which would show the token: " +
			"read it from a file, as in `driftless token hash NAME --role ROLE < FILE`")
	}
	text, err := io.ReadAll(io.LimitReader(os.Stdin, maxTokenInput))
	if err != nil {
		return fmt.Errorf("read the token from standard input: %w", err)
	}
	hash, err := auth.HashToken(strings.TrimRight(string(text), "\r\n"))
	if err != nil {
		return err
	}
	entry, err := cmd.entry(hash, time.Now())
	if err != nil {
		return err
	}
	return printToken(c, entry, "")
}

type whoamiCmd struct {
	address
}

func (cmd *whoamiCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	resp, err := client.WhoAmI(ctx, connect.NewRequest(&controlv1.WhoAmIRequest{}))
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return printJSON(resp.Msg)
	}
	printWhoAmI(resp.Msg)
	return nil
}

func printWhoAmI(who *controlv1.WhoAmIResponse) {
	sayf(stdout, "%s, with the role %s\n", who.GetRecordedAs(), who.GetRole())
	server := "account " + who.GetAccount()
	if who.GetVersion() != "" {
		server += ", reconciliation " + who.GetVersion()
	}
	say(stdout, server)
	if who.GetExpiresAt() != nil {
		sayf(stdout, "the token works until %s\n", formatWhen(who.GetExpiresAt().AsTime(), time.DateTime))
	}
	if who.GetDelegate() {
		say(stdout, "the token may act on behalf of others")
	}
	if who.GetOpen() {
		say(stdout, "the API asks for no token: everybody who can reach it may do everything")
	}
}

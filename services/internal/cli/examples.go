package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// example is a command line without "driftless", and what it does.
type example struct{ command, effect string }

// examples are shown by the help of each command.
var examples = map[string][]example{
	"init": {
		{"init", "with DATABASE_URL in the environment"},
		{"init --currency eur --products-table shop.items", "answers, where the tables do not say it"},
		{"init --out - --sql - --yes", "only print"},
		{"init --yes -o json", "for a program"},
	},
	"up": {
		{"up", "everything on this machine"},
		{"up --ports auto", "beside another mesh"},
		{"up --dry-run", "show the plan, and write nothing to Stripe"},
		{"up --dry-run --once --ports auto", "end after the plan, as in a pipeline"},
		{"up --without push", "push runs elsewhere, or not at all"},
	},
	"notify test": {{"notify test", "after the settings have changed"}},
	"demo":        {{"demo", "needs a running mesh"}},
	"sim":         {{"sim --addr 127.0.0.1:12111", ""}, {"sim --file stripe.journal", "keep what it holds"}},
	"apply": {
		{"apply products.json", ""},
		{"apply -f prices.csv", "a row for each price"},
		{"apply - --format yaml", "read standard input"},
	},
	"export": {
		{"export", "the whole catalog, as JSON"},
		{"export mug cup --format yaml", "two products"},
		{"export --side stripe --format csv", "all of Stripe, for a spreadsheet"},
		{"export | driftless apply -", "changes nothing"},
	},
	"status": {
		{"status", ""},
		{"status --watch", "redraw it every two seconds"},
		{"status --check", "one line, for a probe"},
		{"status -o json", "for a script"},
	},
	"top": {{"top", ""}, {"top --once", "print it once"}},
	"tail": {
		{"tail -f", "follow everything"},
		{"tail -f --failed", "only what needs a person"},
		{"tail mug -n 100", "the latest hundred entries of a product"},
	},
	"retries": {{"retries", ""}, {"retries --watch", "redraw it every two seconds"}},
	"products list": {
		{"products", "the first hundred"},
		{"products mug", "whose id or name has mug"},
		{"products --state pending,dead", "two states"},
		{"products --kind left --limit 0 --csv", "all that left the catalog, as CSV"},
		{"products --no-active-price --sort changed --descending", "cannot be bought, the latest change first"},
		{"products --cause dashboard --words 'oak color:red'", "edited in Stripe's dashboard"},
	},
	"products count": {
		{"products count", "all, by state, drift and reason"},
		{"products count --state dead -o json", "for a script"},
	},
	"plan": {
		{"plan", "all that differs"},
		{"plan mug cup", "two products"},
		{"plan --usage", "with what uses each price that goes"},
		{"plan --wait-converged 1m", "in a test: wait until nothing differs"},
		{"plan --sql migration.sql", "preview: what the statements would do"},
		{"plan -e 'UPDATE driftless.prices SET unit_amount = 1400'", ""},
		{"plan --config driftless.yaml", "preview of a changed mapping or policy"},
		{"plan --sql migration.sql -o markdown", "a comment for a pull request"},
	},
	"preview": {
		{"preview --config driftless.yaml", "the first 20 products"},
		{"preview mug cup", "two products"},
		{"preview --refused --limit 0", "everything that would be refused"},
	},
	"why": {
		{"why mug", "a product"},
		{"why mug-eur", "a price, by the catalog's id or Stripe's"},
		{"why mug-eur -o json", "for a script"},
	},
	"sync": {
		{"sync mug", "this product"},
		{"sync", "every product that differs"},
		{"sync mug --look --reason 'asked by support'", "read it from Stripe first"},
	},
	"completion": {
		{"completion bash", "write it to /etc/bash_completion.d/driftless"},
		{"completion zsh", "write it to _driftless in a directory of $fpath"},
		{"completion fish", "write it to ~/.config/fish/completions/driftless.fish"},
	},
	"reread": {
		{"reread", "the whole catalog"},
		{"reread mug cup", "two products"},
		{"reread --no-wait", "only send the command"},
	},
	"approve": {
		{"approve mug --reason 'new list price'", "one product"},
		{"approve --rule amount_change --reason 'sale'", "what this rule holds"},
		{"approve --all --reason 'new price list' --yes", "everything that is held, without a question"},
		{"approve --for 1h --reason 'move to euro'", "every rule lets everything pass for an hour"},
		{"approve --for 0s --reason 'done'", "end that"},
	},
	"reject": {
		{"reject mug --reason 'cents and euros'", "show the SQL that undoes it"},
		{"reject --all --reason 'wrong import' | driftless psql", "undo everything in the built-in tables"},
	},
	"adopt plan": {
		{"adopt plan", "write adopt.yaml"},
		{"adopt plan --metadata-key sku", "match by the key sku of metadata"},
	},
	"adopt apply": {{"adopt apply adopt.yaml", ""}},
	"pause": {
		{"pause push", "until it is resumed"},
		{"pause --all --for 1h --reason 'release'", "push, pull and ingestion"},
	},
	"resume": {{"resume push", ""}, {"resume", "end all pauses"}},
	"drift list": {
		{"drift", "the same as drift list"},
		{"drift list --kind field,extra", "two kinds"},
		{"drift list --state ignored", "what is ignored"},
	},
	"drift show":   {{"drift show mug", ""}},
	"drift ignore": {{"drift ignore mug", ""}, {"drift ignore mug --field name", "only its name"}},
	"drift resolve": {
		{"drift resolve mug --keep catalog", "write the catalog's values to Stripe"},
		{"drift resolve mug --keep stripe", "write Stripe's values to the catalog"},
	},
	"scan": {{"scan", ""}, {"scan --no-wait", "only start it"}},
	"trace": {
		{"trace mug", "the latest change, and how it ended"},
		{"trace mug --all", "with the spans of bookkeeping"},
		{"trace mug --last 3", "the latest three"},
	},
	"history": {
		{"history mug", ""},
		{"history mug --limit 10", "the latest ten entries"},
		{"history mug-eur", "the product of a price"},
		{"history mug --at '2026-11-26 10:00'", "the product in full, on both sides"},
		{"history --at 2h", "the whole catalog, two hours ago"},
		{"history --at 2h --side stripe", "all of Stripe"},
	},
	"diff": {
		{"diff --from 2h", "since two hours ago"},
		{"diff mug --from 2026-11-25 --to 2026-11-26", "one product, one day"},
		{"diff --from 30m --side stripe", "in Stripe"},
	},
	"rollback": {
		{"rollback mug --to 2h --dry-run", "only show what would happen"},
		{"rollback mug --to 24692080 --reason 'cents and euros'", "a version of driftless history mug"},
		{"rollback mug --to '2026-11-26 10:00' --yes", "without a question"},
	},
	"dead list": {{"dead", "the same as dead list"}, {"dead list --reason refused_by_stripe", "by reason"}},
	"dead show": {{"dead show mug", ""}},
	"dead replay": {
		{"dead replay mug", ""},
		{"dead replay --reason exhausted", "all with this reason"},
		{"dead replay --all", ""},
	},
	"dead drop": {{"dead drop mug --why 'no longer sold'", ""}},
	"keys create": {
		{"keys create push --key-file push.key", "push.key has the signing key"},
	},
	"keys public":  {{"keys public push.key push", ""}},
	"webhook list": {{"webhook list", ""}},
	"webhook create": {
		{"webhook create https://sync.example.com/stripe/webhook --secret-file webhook.secret", ""},
	},
	"webhook rotate": {
		{"webhook rotate --secret-file webhook.secret", "first step"},
		{"webhook rotate --secret-file webhook.secret --finish", "second step"},
	},
	"config check": {
		{"config check --config driftless.yaml", ""},
		{"config check --config driftless.yaml --database", "ask the database, too"},
	},
	"migrate": {
		{"migrate", "with DATABASE_URL in the environment"},
	},
	"doctor": {
		{"doctor --config driftless.yaml", "with the settings of the services in the environment"},
		{"doctor --only database,mapping", "two groups of checks"},
		{"doctor --skip nats.sync -o json", "without one check, for a script"},
		{"doctor --only nats --nats-user push", "the permissions of push's user on NATS"},
		{"doctor --running --only database,mapping", "what the running services found"},
	},
	"token new": {
		{"token new ci --role operate --expires 90d", "for a pipeline"},
		{"token new ann --role approve --token-file ann.token", "without the token on the terminal"},
		{"token new console --role approve --delegate", "for the console, which knows its users"},
	},
	"token hash": {{"token hash ci --role read", "of the token on standard input"}},
	"whoami":     {{"whoami", ""}},

	"settings": {
		{"settings", "those that are not their defaults"},
		{"settings push --all", ""},
		{"settings --search stripe_rate", "which process has which value"},
	},
	"version": {
		{"version", ""},
		{"version --client", "without a question to the mesh"},
		{"version -o json", "for a script"},
	},
	"help":           {{"help plan", "the same as plan --help"}, {"help exit-codes", "what exit codes mean"}},
	"topology plan":  {{"topology plan", ""}, {"topology plan --nats-url nats://nats:4222", "another NATS"}},
	"topology apply": {{"topology apply", ""}, {"topology apply --replicas 3", "for a cluster"}},
	"topology permissions": {
		{"topology permissions --account eu,us", "for two accounts"},
		{"topology permissions --reader billing", "also for a program that reads events"},
	},
}

// addExamples adds the examples to the help of each command.
func addExamples(app *kong.Application) {
	for _, node := range app.Leaves(false) {
		if list := examples[commandOf(node)]; len(list) > 0 {
			node.Detail = strings.TrimSpace(node.Detail + "\n\nExamples:\n\n" + exampleLines(list))
		}
	}
}

// commandOf returns the words of a command: "dead list".
func commandOf(node *kong.Node) string {
	name := node.Name
	for up := node.Parent; up != nil && up.Type == kong.CommandNode; up = up.Parent {
		name = up.Name + " " + name
	}
	return name
}

func exampleLines(list []example) string {
	width := 0
	for _, e := range list {
		if e.effect != "" {
			width = max(width, len(e.command))
		}
	}
	lines := make([]string, len(list))
	for i, e := range list {
		lines[i] = strings.TrimRight(fmt.Sprintf("  driftless %-*s  %s", width, e.command, e.effect), " ")
	}
	return strings.Join(lines, "\n")
}

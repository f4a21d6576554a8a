package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// AccountsFile returns a file for the block "accounts" of nats-server's configuration. The streams get an account of
// their own. Each user of the mesh, and each reader of events, gets an account that imports the subjects of its
// permissions. There a reader reads from the stream only.
//
// Within one account the server publishes the answer to a request on any reply subject, whatever the user may publish.
// Between accounts an answer returns only to the account that asked.
func AccountsFile(o Options, readers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# An account of NATS for each user of the mesh, for the accounts: %s. The block "accounts" of the
# server's configuration includes this file; see nats-server-isolated.conf.
# Generated from the topology. For other accounts: driftless topology permissions --isolated --account NAME,NAME
`, strings.Join(o.accounts(), ", "))
	users := withReaders(o, readers)
	importers := map[string][]string{}
	for _, p := range users {
		for _, subject := range shared(p) {
			importers[subject] = append(importers[subject], accountOf(p))
		}
	}
	b.WriteString("\nDRIFTLESS: {\n  jetstream: enabled\n  exports: [\n")
	for _, subject := range slices.Sorted(maps.Keys(importers)) {
		// A request for messages has many answers.
		fmt.Fprintf(&b, "    { service: %q, response_type: stream, accounts: [%s] }\n",
			subject, strings.Join(importers[subject], ", "))
	}
	b.WriteString("  ]\n}\n")
	for _, p := range users {
		fmt.Fprintf(&b, "\n%s: {\n  users: [ { user: %q, password: $%s_PASSWORD, permissions: {\n",
			accountOf(p), p.User, p.variable())
		list(&b, "    ", "publish", p.Publish)
		list(&b, "    ", "subscribe", p.Subscribe)
		b.WriteString("  } } ]\n  imports: [\n")
		for _, subject := range shared(p) {
			fmt.Fprintf(&b, "    { service: { account: DRIFTLESS, subject: %q } }\n", subject)
		}
		b.WriteString("  ]\n}\n")
	}
	return b.String()
}

// shared returns what a user's account needs of the account with the streams. The server itself answers in each account
// on UserInfo.
func shared(p Permissions) []string {
	return slices.DeleteFunc(slices.Clone(p.Publish), func(subject string) bool { return subject == UserInfo })
}

// accountOf returns the name of a user's account on NATS.
func accountOf(p Permissions) string { return "DRIFTLESS_" + p.variable() }

package topology

import (
	"fmt"
	"strings"
)

// PermissionsFile returns a file for the configuration of nats-server. It has a variable with the permissions of each
// user of the mesh: DRIFTLESS_PUSH and so on. A server's configuration includes the file and refers to the variables.
// Each reader of events has a variable, too: DRIFTLESS_READER_BILLING. The server refuses a variable that nothing uses.
func PermissionsFile(o Options, readers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b,
		`# What each user of the mesh may do on NATS, for the accounts: %s. The server's configuration includes this file and gives
# each user its variable, as in permissions: $DRIFTLESS_PUSH; see nats-server.conf.
# Generated from the topology. For other accounts: driftless topology permissions --account NAME,NAME
`, strings.Join(o.accounts(), ", "))
	for _, p := range withReaders(o, readers) {
		fmt.Fprintf(&b, "\nDRIFTLESS_%s: {\n  publish: {\n", p.variable())
		list(&b, "    ", "allow", p.Publish)
		b.WriteString("  }\n")
		list(&b, "  ", "subscribe", p.Subscribe)
		b.WriteString("}\n")
	}
	return b.String()
}

// withReaders returns the permissions of the mesh's users and of readers of events.
func withReaders(o Options, readers []string) []Permissions {
	users := UserPermissions(o)
	for _, reader := range readers {
		users = append(users, ReaderPermissions(reader, o.Accounts))
	}
	return users
}

// variable returns the user's name as part of a variable or an account's name. A reader's name never is a service's.
func (p Permissions) variable() string {
	name := strings.ToUpper(strings.ReplaceAll(p.User, "-", "_"))
	if p.isReader {
		return "READER_" + name
	}
	return name
}

func list(b *strings.Builder, indent, name string, subjects []string) {
	fmt.Fprintf(b, "%s%s: [\n", indent, name)
	for _, s := range subjects {
		fmt.Fprintf(b, "%s  %q\n", indent, s)
	}
	fmt.Fprintf(b, "%s]\n", indent)
}

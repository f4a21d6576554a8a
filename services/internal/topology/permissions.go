package topology

import (
	"fmt"
	"strings"
)

// PermissionsFile returns a file for the configuration of nats-server. It has a variable with the permissions of each
// user of the mesh: DRIFTLESS_PUSH and so on. A server's configuration includes the file and refers to the variables.
func PermissionsFile(accounts []string) string {
	var b strings.Builder
	fmt.Fprintf(&b,
		`# What each user of the mesh may do on NATS, for the accounts: %s. The server's configuration includes this file and gives
# each user its variable, as in permissions: $DRIFTLESS_PUSH; see nats-server.conf.
# Generated from the topology. For other accounts: driftless topology permissions --account NAME,NAME
`, strings.Join(Options{Accounts: accounts}.accounts(), ", "))
	for _, p := range UserPermissions(accounts) {
		fmt.Fprintf(&b, "\nDRIFTLESS_%s: {\n  publish: {\n", strings.ToUpper(p.User))
		list(&b, "    ", "allow", p.Publish)
		b.WriteString("  }\n")
		list(&b, "  ", "subscribe", p.Subscribe)
		b.WriteString("}\n")
	}
	return b.String()
}

func list(b *strings.Builder, indent, name string, subjects []string) {
	fmt.Fprintf(b, "%s%s: [\n", indent, name)
	for _, s := range subjects {
		fmt.Fprintf(b, "%s  %q\n", indent, s)
	}
	fmt.Fprintf(b, "%s]\n", indent)
}

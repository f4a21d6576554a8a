package topology

import (
	"fmt"
	"regexp"
	"slices"
)

// readerName is a name that is one token of a subject, and part of a variable in the configuration of nats-server.
var readerName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// CheckReader returns an error if a program that reads events cannot have this name.
func CheckReader(name string) error {
	if !readerName.MatchString(name) {
		return fmt.Errorf(
			"the reader %q cannot have this name: use up to 32 lower-case letters, digits and hyphens, and a letter first", name)
	}
	services := []string{Ingestion, Push, Pull, Reconciliation, AdminUser}
	if slices.Contains(services, name) {
		return fmt.Errorf("the reader %q cannot have the name of a service: choose another", name)
	}
	return nil
}

// ReaderConsumer returns the name of the durable consumer with which a program reads an account's events.
func ReaderConsumer(name, account string) string { return name + "-" + account }

// ReaderPermissions returns what a program needs to read the events of accounts, and nothing else of the mesh. It makes
// one durable consumer for each account, with the name of ReaderConsumer and the filter events.<account>.>, or it reads
// from any position without one. It may also subscribe to new events.
func ReaderPermissions(name string, accounts []string) Permissions {
	p := Permissions{
		User:     name,
		isReader: true,
		Publish: []string{
			"$JS.API.DIRECT.GET." + StreamEvents, "$JS.API.INFO", "$JS.API.STREAM.INFO." + StreamEvents,
		},
		Subscribe: []string{InboxPrefix(name) + ".>"},
	}
	for _, account := range (Options{Accounts: accounts}).accounts() {
		filter := EventsSubject(account, ">")
		consumer := StreamEvents + "." + ReaderConsumer(name, account)
		p.Publish = append(p.Publish,
			// The server compares both the name and the filter with the request.
			"$JS.API.CONSUMER.CREATE."+consumer+"."+filter,
			"$JS.API.CONSUMER.INFO."+consumer,
			"$JS.API.CONSUMER.MSG.NEXT."+consumer,
			"$JS.API.DIRECT.GET."+StreamEvents+"."+filter,
			// Both forms of acknowledgement are needed: the server's feature flag js_ack_fc_v2 chooses one.
			"$JS.ACK."+consumer+".>", "$JS.ACK.*.*."+consumer+".>")
		p.Subscribe = append(p.Subscribe, filter)
	}
	p.Publish = distinct(p.Publish)
	return p
}

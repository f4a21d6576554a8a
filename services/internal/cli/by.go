package cli

import (
	"cmp"
	"errors"
	"os"

	"golang.org/x/term"
)

// because says who asks for an operation, and why.
type because struct {
	Reason string `name:"reason" aliases:"why" placeholder:"TEXT" help:"Why. It is kept in the audit trail."`
	who
}

// who says who asks for an operation.
type who struct {
	Actor string `name:"actor" env:"DRIFTLESS_ACTOR" placeholder:"NAME" help:"Who asks for it. Defaults to your user and host. A token with a name has its own name in the audit trail."`
}

func (w who) actor() string { return cmp.Or(w.Actor, localActor()) }

// sure lets a command that asks on a terminal run without a question.
type sure struct {
	Yes bool `name:"yes" help:"Do not ask. Without a terminal nothing is asked."`
}

// ask asks about something that concerns much at once. Scripts are not asked: they cannot answer.
func (s sure) ask(question string) error {
	if s.Yes || !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stdout.Fd())) {
		return nil
	}
	if !confirm(question) {
		return errors.New("not confirmed: nothing was done")
	}
	return nil
}

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/driftless-sync/driftless/services/internal/secretfile"
	"github.com/driftless-sync/driftless/services/internal/signing"
)

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Create a key for one service, and print its public key for DRIFTLESS_TRUSTED_KEYS."`
	Public keysPublicCmd `cmd:"" help:"Print the public key of a signing key."`
}

// keyOwner names the service of a key in the output.
type keyOwner struct {
	Service string `arg:"" optional:"" enum:"ingestion,push,pull,reconciliation," default:"" help:"Service of the key: ingestion, push, pull or reconciliation. Readers then trust the key for that service only."`
}

func (s keyOwner) entry(key signing.PublicKey) string {
	if s.Service == "" {
		return key.String()
	}
	return s.Service + "=" + key.String()
}

type keysCreateCmd struct {
	keyOwner
	KeyFile string `name:"key-file" placeholder:"FILE" help:"Write the signing key to this new file, readable only by its owner. DRIFTLESS_SIGNING_KEY_FILE can name it."`
	ShowKey bool   `name:"show-key" help:"Print the signing key, a secret, even if standard output is not a terminal."`
}

// Run prints the public key on standard output. The signing key goes to a file, or to a terminal.
func (cmd *keysCreateCmd) Run(c *cli) error {
	if cmd.KeyFile == "" && !cmd.ShowKey && (c.Output == "json" || !isTerminal(stdout)) {
		return errors.New("the signing key is a secret, and standard output is not a terminal: " +
			"set --key-file FILE, or --show-key to print it anyway")
	}
	key, err := signing.Create()
	if err != nil {
		return err
	}
	if cmd.KeyFile != "" {
		if err := writeNew("--key-file", cmd.KeyFile, key.Reveal()+"\n"); err != nil {
			return err
		}
	}
	return printKey(c, cmd.keyOwner, key, cmd.KeyFile == "")
}

func printKey(c *cli, s keyOwner, key signing.PrivateKey, show bool) error {
	if c.Output == "json" {
		out := keyAnswer{ID: key.Public().ID(), TrustedKey: s.entry(key.Public())}
		if show {
			out.SigningKey = key.Reveal()
		}
		return printJSON(out)
	}
	if show {
		sayf(stdout, "DRIFTLESS_SIGNING_KEY (of this service alone, a secret):\n%s\n\n"+
			"DRIFTLESS_TRUSTED_KEYS (of every service):\n", key.Reveal())
	}
	say(stdout, s.entry(key.Public()))
	return nil
}

// writeNew writes a secret to a file that must not exist yet.
func writeNew(flag, path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %s already exists: a secret that may be in use is not overwritten", flag, path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

type keysPublicCmd struct {
	KeyFile string `arg:"" name:"key-file" placeholder:"FILE" help:"File with the signing key."`
	keyOwner
}

// Run prints the entry for DRIFTLESS_TRUSTED_KEYS.
func (cmd *keysPublicCmd) Run(c *cli) error {
	text, err := secretfile.Read("the signing key", cmd.KeyFile)
	if err != nil {
		return err
	}
	key, err := signing.ParsePrivate(text)
	if err != nil {
		return fmt.Errorf("%s has no signing key: %w", cmd.KeyFile, err)
	}
	return printKey(c, cmd.keyOwner, key, false)
}

package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// secretDestination says where a new signing secret goes. It never goes to a log. It goes to standard output only if
// that is a terminal or if asked for.
type secretDestination struct {
	SecretFile string `name:"secret-file" placeholder:"FILE" help:"Append the signing secret to the secrets in this file, readable only by its owner. STRIPE_WEBHOOK_SECRET_FILE can name it."`
	ShowSecret bool   `name:"show-secret" help:"Print the signing secret even if standard output is not a terminal."`
}

// secretStore stores a secret. It is made ready before the secret exists.
type secretStore struct {
	path   string
	before []string
	temp   *os.File
}

// open makes sure that a secret can be stored before Stripe creates it, since Stripe shows it only once.
func (p secretDestination) open(c *cli) (*secretStore, error) {
	k := &secretStore{path: p.SecretFile}
	if p.SecretFile == "" {
		if !p.ShowSecret && (c.Output == "json" || !isTerminal(stdout)) {
			return nil, errors.New(
				"the signing secret is shown only once, and standard output is not a terminal: set --secret-file FILE, or --show-secret to print it anyway")
		}
		return k, nil
	}
	data, err := os.ReadFile(p.SecretFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("--secret-file: %w", err)
	}
	k.before = config.Secrets(strings.TrimSpace(string(data))).Reveal()
	// The file has mode 0600, and is renamed into place.
	if k.temp, err = os.CreateTemp(filepath.Dir(p.SecretFile), ".secret-*"); err != nil {
		return nil, fmt.Errorf("--secret-file: %w", err)
	}
	return k, nil
}

func (k *secretStore) discard() error {
	if k.temp == nil {
		return nil
	}
	return errors.Join(k.temp.Close(), os.Remove(k.temp.Name()))
}

// store stores the endpoint's secret and prints where.
func (k *secretStore) store(c *cli, e stripeapi.Endpoint) error {
	if k.temp != nil {
		text := strings.Join(append(k.before, e.Secret), ",") + "\n"
		_, err := k.temp.WriteString(text)
		if err = errors.Join(err, k.temp.Sync(), k.temp.Close()); err == nil {
			err = os.Rename(k.temp.Name(), k.path)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("--secret-file: %w", err), os.Remove(k.temp.Name()))
		}
	}
	if c.Output == "json" {
		shown := map[string]any{"endpoint": e}
		if k.temp == nil {
			shown["secret"] = e.Secret
		}
		data, err := json.MarshalIndent(shown, "", "  ")
		if err != nil {
			return fmt.Errorf("encode the answer: %w", err)
		}
		_, err = jsonOut.Write(append(data, '\n'))
		return err
	}
	sayf(stdout, "%s sends Stripe's events to %s\n", e.ID, e.URL)
	if k.temp != nil {
		_, err := stdout.WriteString(sayingf("its signing secret is in %s\n", k.path))
		return err
	}
	_, err := stdout.WriteString(
		sayingf("its signing secret, shown only once, is for STRIPE_WEBHOOK_SECRET: %s\n", e.Secret))
	return err
}

// latestSecret returns the last of the secrets that pull has.
func (p secretDestination) latestSecret(given config.Secrets) (string, error) {
	secrets := given.Reveal()
	if p.SecretFile != "" {
		data, err := os.ReadFile(p.SecretFile)
		if err != nil {
			return "", fmt.Errorf("--secret-file: %w", err)
		}
		secrets = config.Secrets(strings.TrimSpace(string(data))).Reveal()
	}
	if len(secrets) == 0 {
		return "", errors.New(
			"the new secret is needed to check whether pull accepts it: set --secret-file, or STRIPE_WEBHOOK_SECRET with the new secret last")
	}
	return secrets[len(secrets)-1], nil
}

// confirm asks a person. Without a terminal the answer is no.
func confirm(question string) bool {
	if !isTerminal(os.Stdin) {
		return false
	}
	sayf(os.Stderr, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	return strings.EqualFold(strings.TrimSpace(answer), "y") || strings.EqualFold(strings.TrimSpace(answer), "yes")
}

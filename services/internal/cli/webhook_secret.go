package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// secretDestination is the place for a new signing secret: a file, or standard output. Standard output must be a
// terminal unless ShowSecret is set, so that the secret does not end in a log.
type secretDestination struct {
	SecretFile string `name:"secret-file" placeholder:"FILE" help:"Append the signing secret to the secrets in this file, readable only by its owner. STRIPE_WEBHOOK_SECRET_FILE can name it."`
	ShowSecret bool   `name:"show-secret" help:"Print the signing secret even if standard output is not a terminal."`
}

// secretStore stores one new secret.
type secretStore struct {
	// path is the file for the secret, empty for standard output. existing are the secrets that it has already.
	path     string
	existing []string
	// temp becomes the file. It is nil for standard output.
	temp *os.File
}

// open prepares the storage of a secret, and fails if it cannot be stored. It is called before Stripe creates the
// secret, because Stripe shows it only once.
func (d secretDestination) open(c *cli) (*secretStore, error) {
	s := &secretStore{path: d.SecretFile}
	if d.SecretFile == "" {
		if !d.ShowSecret && (c.Output == "json" || !isTerminal(stdout)) {
			return nil, errors.New(
				"the signing secret is shown only once, and standard output is not a terminal: set --secret-file FILE, or --show-secret to print it anyway")
		}
		return s, nil
	}
	data, err := os.ReadFile(d.SecretFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("--secret-file: %w", err)
	}
	s.existing = config.Secrets(strings.TrimSpace(string(data))).Reveal()
	// CreateTemp creates it with mode 0600.
	if s.temp, err = os.CreateTemp(filepath.Dir(d.SecretFile), ".secret-*"); err != nil {
		return nil, fmt.Errorf("--secret-file: %w", err)
	}
	return s, nil
}

func (s *secretStore) discard() error {
	if s.temp == nil {
		return nil
	}
	return errors.Join(s.temp.Close(), os.Remove(s.temp.Name()))
}

// store stores the endpoint's secret, and prints where it is. It returns every error of a write: without the secret,
// the endpoint is of no use.
func (s *secretStore) store(c *cli, e stripeapi.Endpoint) error {
	if s.temp != nil {
		text := strings.Join(append(s.existing, e.Secret), ",") + "\n"
		_, err := s.temp.WriteString(text)
		if err = errors.Join(err, s.temp.Sync(), s.temp.Close()); err == nil {
			err = os.Rename(s.temp.Name(), s.path)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("--secret-file: %w", err), os.Remove(s.temp.Name()))
		}
	}
	if c.Output == "json" {
		shown := webhookAnswer{Endpoint: e}
		if s.temp == nil {
			shown.Secret = e.Secret
		}
		return printJSON(shown)
	}
	sayf(stdout, "%s sends Stripe's events to %s\n", e.ID, e.URL)
	if s.temp != nil {
		_, err := stdout.WriteString(sayingf("its signing secret is in %s\n", s.path))
		return err
	}
	_, err := stdout.WriteString(
		sayingf("its signing secret, shown only once, is for STRIPE_WEBHOOK_SECRET: %s\n", e.Secret))
	return err
}

// latestSecret returns the last secret of the file, or of given if there is no file. New secrets are appended, so it is
// the latest.
func (d secretDestination) latestSecret(given config.Secrets) (string, error) {
	secrets := given.Reveal()
	if d.SecretFile != "" {
		data, err := os.ReadFile(d.SecretFile)
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

// confirm asks the operator a question, and reports whether the answer is yes. Without a terminal it is no.
func confirm(question string) bool {
	if !isTerminal(os.Stdin) {
		return false
	}
	sayf(os.Stderr, "%s [y/N] ", question)
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	answer := strings.TrimSpace(line)
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}

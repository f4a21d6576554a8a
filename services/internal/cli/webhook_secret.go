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

// secretPlace says where a new signing secret goes. It never goes to a log, and to standard output only if that is a
// terminal or was asked for.
type secretPlace struct {
	SecretFile string `name:"secret-file" placeholder:"FILE" help:"Write the signing secret to this file, readable by its owner alone, behind those it holds; STRIPE_WEBHOOK_SECRET_FILE can name it."`
	ShowSecret bool   `name:"show-secret" help:"Print the signing secret although standard output is no terminal."`
}

// keeper is a place for a secret, made ready before the secret exists.
type keeper struct {
	path   string
	before []string
	temp   *os.File
}

// open makes sure that a secret can be kept before Stripe makes it: it is shown once only.
func (p secretPlace) open(c *cli) (*keeper, error) {
	k := &keeper{path: p.SecretFile}
	if p.SecretFile == "" {
		if !p.ShowSecret && (c.Output == "json" || !isTerminal(stdout)) {
			return nil, errors.New(
				"the signing secret is shown once only, and standard output is no terminal: give --secret-file FILE, or --show-secret to print it all the same")
		}
		return k, nil
	}
	data, err := os.ReadFile(p.SecretFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("--secret-file: %w", err)
	}
	k.before = config.Secrets(strings.TrimSpace(string(data))).Reveal()
	// Mode 0600; put in the file's place in one step.
	if k.temp, err = os.CreateTemp(filepath.Dir(p.SecretFile), ".secret-*"); err != nil {
		return nil, fmt.Errorf("--secret-file: %w", err)
	}
	return k, nil
}

func (k *keeper) abandon() error {
	if k.temp == nil {
		return nil
	}
	return errors.Join(k.temp.Close(), os.Remove(k.temp.Name()))
}

// store keeps the endpoint's secret and says where.
func (k *keeper) store(c *cli, e stripeapi.Endpoint) error {
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
		sayingf("its signing secret, shown this once, is for STRIPE_WEBHOOK_SECRET: %s\n", e.Secret))
	return err
}

// newest is the last of the secrets that pull was given.
func (p secretPlace) newest(given config.Secrets) (string, error) {
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
			"the new secret is needed to see whether pull accepts it: give --secret-file, or STRIPE_WEBHOOK_SECRET with the new secret last")
	}
	return secrets[len(secrets)-1], nil
}

// confirmed asks a person; without a terminal the answer is no.
func confirmed(question string) bool {
	if !isTerminal(os.Stdin) {
		return false
	}
	sayf(os.Stderr, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	return strings.EqualFold(strings.TrimSpace(answer), "y") || strings.EqualFold(strings.TrimSpace(answer), "yes")
}

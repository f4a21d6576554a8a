// Package notify tells people about problems, without Prometheus: by a webhook that is signed as the Standard Webhooks
// specification says, and by a text to Slack.
//
// It is level-triggered. Every few seconds it compares the problems that are open with those that a target knows, and
// makes one notification about the others. The ledger keeps both, so that a restart neither loses nor repeats one. It
// does not decide what a problem is.
package notify

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/visible"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

const (
	// checkInterval is how often the problems are compared.
	checkInterval = 5 * time.Second
	// lease is how long an attempt to send may take, and a stop of the service with it, before another process makes
	// one.
	lease = 15 * time.Second
	// firstDelay and maxDelay bound the delay between two attempts.
	firstDelay = 5 * time.Second
	maxDelay   = time.Hour
)

// Config configures the notifications of an account.
type Config struct {
	Account  string
	Settings config.Notify
	// Others returns the open problems that the ledger does not know, and the kinds that may be open or not, because
	// nobody knows at the moment.
	Others func(ctx context.Context) (problems []ledger.Problem, unknown []string)
	Ledger *ledger.Ledger
	Logger *slog.Logger
	Now    func() time.Time
}

// Notifier sends the notifications of an account.
type Notifier struct {
	Config

	senders map[string]*sender
}

// New returns a notifier. It returns an error if the settings are wrong.
func New(cfg Config) (*Notifier, error) {
	if err := cfg.Settings.Check(); err != nil {
		return nil, err
	}
	n := &Notifier{Config: cfg, senders: map[string]*sender{}}
	for target, of := range map[string]struct{ url, secret config.Secret }{
		"webhook": {cfg.Settings.NotifyURL, cfg.Settings.NotifySecret},
		"slack":   {cfg.Settings.NotifySlackURL, ""},
	} {
		if of.url == "" {
			continue
		}
		s, err := newSender(of.url.Reveal(), of.secret.Reveal())
		if err != nil {
			return nil, err
		}
		n.senders[target] = s
	}
	return n, nil
}

// Targets returns the names of the targets that are configured.
func (n *Notifier) Targets() []string {
	targets := []string{}
	for t := range n.senders {
		targets = append(targets, t)
	}
	slices.Sort(targets)
	return targets
}

// Run sends notifications until ctx ends.
func (n *Notifier) Run(ctx context.Context) error {
	if len(n.senders) == 0 {
		return nil
	}
	ticker := time.NewTicker(checkInterval)
	defer ticker.Stop()
	failing, started := false, false
	for {
		var err error
		if !started {
			err = n.Ledger.RetryNotifications(ctx)
			started = err == nil
		}
		if err == nil {
			err = n.check(ctx)
		}
		if err != nil && !failing && ctx.Err() == nil {
			n.Logger.WarnContext(ctx, "notifications are delayed", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// check makes the notifications that are needed, and sends those that are due.
func (n *Notifier) check(ctx context.Context) error {
	others, unknown := n.Others(ctx)
	targets := n.Targets()
	var errs []error
	for _, target := range targets {
		_, err := n.Ledger.CreateNotification(ctx, ledger.NotificationRequest{
			Target:  target,
			Kinds:   n.Settings.NotifyKinds,
			Others:  others,
			Unknown: unknown,
		}, newID(), func(problems []ledger.Problem) ([]byte, error) {
			body, err := json.Marshal(newMessage(n.Account, n.Now(), problems))
			// The ids stay as they are for the receiver.
			return visible.JSON(body), err
		})
		errs = append(errs, err)
	}
	for {
		found, err := n.Ledger.SendNotification(ctx, targets, lease, delay, n.send)
		if err != nil || !found {
			return errors.Join(append(errs, err)...)
		}
	}
}

// send makes one attempt.
func (n *Notifier) send(ctx context.Context, m ledger.Notification) error {
	err := n.senders[m.Target].send(ctx, m.ID, n.Now(), m.Body)
	result := "ok"
	logger := n.Logger.With("target", m.Target, "notification", m.ID, "attempt", m.Attempts+1)
	switch {
	case errors.Is(err, ledger.ErrRefused):
		result = "failed"
		logger.WarnContext(ctx,
			"could not send a notification; another is made when the problems change, or within an hour", "error", err)
	case err != nil:
		result = "failed"
		logger.WarnContext(ctx, "could not send a notification; it is tried again", "error", err)
	}
	metrics.Notifications.Add(ctx, 1, metrics.NotifyTarget.With(m.Target), metrics.NotifyResult.With(result))
	return err
}

// Result is the result of a test of a target.
type Result struct {
	Target string
	Err    error
}

// Test sends a test to each target, once. If one accepts it, what waits for another attempt is due at once.
func (n *Notifier) Test(ctx context.Context) ([]Result, error) {
	body, err := json.Marshal(message{
		Type:      typeTest,
		Timestamp: n.Now().UTC(),
		Data:      data{Account: n.Account, Problems: []group{}},
	})
	if err != nil {
		return nil, fmt.Errorf("encode a test: %w", err)
	}
	var results []Result
	for _, target := range n.Targets() {
		results = append(results, Result{target, n.senders[target].send(ctx, newID(), n.Now(), body)})
	}
	if slices.ContainsFunc(results, func(r Result) bool { return r.Err == nil }) {
		// A receiver that was repaired need not be waited for.
		if err := n.Ledger.RetryNotifications(ctx); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// newID returns an id for a notification.
func newID() string { return "msg_" + rand.Text() }

// delay returns the delay after so many failed attempts. It doubles up to an hour, with jitter.
func delay(attempts int) time.Duration {
	d := float64(firstDelay) * math.Pow(2, float64(attempts-1))
	d = min(d, float64(maxDelay))
	return time.Duration(d/2 + mathrand.Float64()*d/2)
}

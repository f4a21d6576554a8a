package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// NotifyKinds are the kinds of problems that reconciliation notifies about.
var NotifyKinds = []string{"dead_letter", "drift", "held", "halted", "capture"}

// Notify says where reconciliation sends notifications.
type Notify struct {
	NotifyURL      Secret   `name:"notify-url" env:"DRIFTLESS_NOTIFY_URL" secret:"" placeholder:"URL" help:"Webhook that gets notifications, signed as Standard Webhooks. See docs/notifications.md."`
	NotifySecret   Secret   `name:"notify-secret" env:"DRIFTLESS_NOTIFY_SECRET" secret:"" placeholder:"whsec_..." help:"Secret that signs the notifications to notify-url: whsec_ and 24 to 64 random bytes in base64."`
	NotifySlackURL Secret   `name:"notify-slack-url" env:"DRIFTLESS_NOTIFY_SLACK_URL" secret:"" placeholder:"URL" help:"Incoming webhook of Slack, or of a service that takes its form, that gets notifications as text."`
	NotifyKinds    []string `name:"notify-kinds" env:"DRIFTLESS_NOTIFY_KINDS" default:"dead_letter,drift,held,halted,capture" help:"What is notified, separated by commas: dead_letter, drift (that needs a decision), held (by the guard), halted (Stripe refuses the key), capture (stopped)."`
}

// Check returns what is wrong with the settings. The error does not have the values of secrets.
func (n Notify) Check() error {
	for _, k := range n.NotifyKinds {
		if !slices.Contains(NotifyKinds, k) {
			return fmt.Errorf("DRIFTLESS_NOTIFY_KINDS: there is no kind %q: use some of %s", k,
				strings.Join(NotifyKinds, ", "))
		}
	}
	if n.NotifySlackURL != "" {
		if _, err := ParseNotifyURL(n.NotifySlackURL.Reveal()); err != nil {
			return fmt.Errorf("DRIFTLESS_NOTIFY_SLACK_URL: %w", err)
		}
	}
	switch {
	case n.NotifyURL == "" && n.NotifySecret == "":
		return nil
	case n.NotifyURL == "":
		return errors.New("DRIFTLESS_NOTIFY_SECRET is set without DRIFTLESS_NOTIFY_URL: set both or neither")
	case n.NotifySecret == "":
		return errors.New(
			"DRIFTLESS_NOTIFY_URL is set without DRIFTLESS_NOTIFY_SECRET, and notifications are signed: " +
				`make a secret with: echo "whsec_$(head -c 32 /dev/urandom | base64)"`)
	}
	if _, err := ParseNotifyURL(n.NotifyURL.Reveal()); err != nil {
		return fmt.Errorf("DRIFTLESS_NOTIFY_URL: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(n.NotifySecret.Reveal(), "whsec_"))
	if err != nil || len(key) < 24 || len(key) > 64 {
		return errors.New("DRIFTLESS_NOTIFY_SECRET is not whsec_ followed by 24 to 64 bytes in base64: " +
			`make one with: echo "whsec_$(head -c 32 /dev/urandom | base64)"`)
	}
	return nil
}

// ParseNotifyURL parses the URL of a receiver of notifications. It must use https, unless its host is this machine or
// in the same cluster or network. The error does not have the URL.
func ParseNotifyURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "":
		return nil, errors.New("this is not a URL like https://example.com/hook")
	case u.Scheme == "https", u.Scheme == "http" && isLocal(u.Hostname()):
		return u, nil
	case u.Scheme == "http":
		return nil, fmt.Errorf("http to %s would send product data in the clear: use https", u.Hostname())
	default:
		return nil, fmt.Errorf("%q is not a scheme for it: use https", u.Scheme)
	}
}

// IsLoopback reports whether a host names this machine.
func IsLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || host == "localhost"
}

// isLocal reports whether a host is this machine, or is by its name or address not reached through the Internet.
func isLocal(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback() || ip.IsPrivate()
	}
	return !strings.Contains(host, ".") || slices.ContainsFunc([]string{".svc", ".cluster.local", ".internal"},
		func(suffix string) bool { return strings.HasSuffix(host, suffix) })
}

package mesh

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/driftless-sync/driftless/services/internal/secretfile"
)

// identity returns the options that authenticate the client and verify the servers.
func (c Config) identity() ([]nats.Option, error) {
	var opts []nats.Option
	for _, f := range []struct{ path, setting string }{
		{c.Creds, "NATS_CREDS"},
		{c.NKey, "NATS_NKEY"},
		{c.CA, "NATS_CA"},
		{c.Cert, "NATS_CERT"},
		{c.Key, "NATS_KEY"},
	} {
		if f.path == "" {
			continue
		}
		if _, err := os.ReadFile(f.path); err != nil {
			return nil, fmt.Errorf("%s: %w", f.setting, err)
		}
	}
	switch {
	case c.Creds != "" && c.NKey != "":
		return nil, errors.New(
			"both NATS_CREDS and NATS_NKEY are set: keep the one that the servers' authentication requires")
	case (c.Cert == "") != (c.Key == ""):
		return nil, errors.New("NATS_CERT and NATS_KEY belong together: set both, or neither")
	case c.Creds != "":
		opts = append(opts, nats.UserCredentials(c.Creds))
	case c.NKey != "":
		nkey, err := nats.NkeyOptionFromSeed(c.NKey)
		if err != nil {
			return nil, fmt.Errorf("NATS_NKEY: %s holds no seed of a user's nkey (SU...): %w", c.NKey, err)
		}
		opts = append(opts, nkey)
	}
	if c.CA != "" {
		opts = append(opts, nats.RootCAs(c.CA))
	}
	if c.Cert != "" {
		opts = append(opts, nats.ClientCert(c.Cert, c.Key))
	}
	return opts, nil
}

// currentUser returns the servers' addresses, and the options with which each connection reads the user from URLFile
// again. The URLs stay as they are if they name several users or were not read from a file.
func (c Config) currentUser(logger *slog.Logger) (servers string, opts []nats.Option) {
	who, bare := userOf(c.URL)
	if c.URLFile == "" || who == nil {
		return c.URL, nil
	}
	now := func() *url.Userinfo {
		text, err := secretfile.Read("NATS_URL", c.URLFile)
		if err != nil {
			logger.Error("could not read the NATS credentials; using the previous ones", "error", err)
			return who
		}
		if user, _ := userOf(text); user != nil {
			who = user
		}
		return who
	}
	// The client calls both, one after the other, in one goroutine.
	return bare, []nats.Option{
		nats.UserInfoHandler(func() (user, password string) {
			u := now()
			if password, named := u.Password(); named {
				return u.Username(), password
			}
			return "", ""
		}),
		nats.TokenHandler(func() string {
			if _, named := who.Password(); named {
				return ""
			}
			return who.Username()
		}),
	}
}

// userOf returns the user that all URLs share, and the URLs without it. The user is nil if there are several or none.
func userOf(urls string) (who *url.Userinfo, bare string) {
	var servers []string
	for server := range strings.SplitSeq(urls, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || u.Host == "" || u.User == nil || who != nil && u.User.String() != who.String() {
			return nil, urls
		}
		who, u.User = u.User, nil
		servers = append(servers, u.String())
	}
	return who, strings.Join(servers, ",")
}

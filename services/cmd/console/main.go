// Command console serves the pages on which people see what Driftless does, and act on it.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/driftless-sync/driftless/services/console"
	"github.com/driftless-sync/driftless/services/console/openid"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/service"
)

func main() {
	var s config.ConsoleService
	service.Main("console", "Serves the pages on which people see what Driftless does, and act on it.", &s,
		func(ctx context.Context, r service.Runtime) error {
			openID, err := openIDConfig(s.ConsoleOpenID)
			if err != nil {
				return err
			}
			return console.Run(ctx, console.Config{
				ControlURL: s.ControlURL,
				IngestURL:  s.IngestURL,
				URL:        s.ConsoleURL,
				SessionKey: s.ConsoleSessionKey.Reveal(),
				LinkKey:    os.Getenv(service.LinkKeyVariable),
				LinkToken:  os.Getenv(service.LinkTokenVariable),
				OpenID:     openID,
				Token:      s.ConsoleToken.Reveal(),
				JaegerURL:  s.ConsoleJaegerURL,
				StripeURL:  s.ConsoleStripeURL,
				Settings:   r.Settings,
				HTTP:       r.HTTP(s.ConsoleAddr),
				Logger:     r.Logger,
			})
		})
}

// openIDConfig returns the OpenID provider that the settings describe, nil if there is none.
func openIDConfig(s config.ConsoleOpenID) (*openid.Config, error) {
	if s.OpenIDIssuer == "" {
		return nil, nil
	}
	roles, otherwise, err := openid.ParseRoles(s.OpenIDRoles)
	if err != nil {
		return nil, fmt.Errorf("openid_roles: %w", err)
	}
	return &openid.Config{
		Issuer:       s.OpenIDIssuer,
		ClientID:     s.OpenIDClientID,
		ClientSecret: s.OpenIDClientSecret.Reveal(),
		Scopes:       s.OpenIDScopes,
		Name:         s.OpenIDNameClaim,
		RoleClaim:    s.OpenIDRoleClaim,
		Roles:        roles,
		Default:      otherwise,
	}, nil
}

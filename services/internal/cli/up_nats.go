package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"path/filepath"

	"github.com/driftless-sync/driftless/services/internal/local"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// natsAdmin is the user for commands and the operator on the private NATS server. It may do everything.
const natsAdmin = "driftless"

// startPrivateNATS starts the NATS server of this mesh. Everybody on the machine can reach its port, so it asks for a
// password. Each service has its own user with the permissions of production. The passwords are new at each start:
// mesh.json has the administrator's, and a service gets only its own.
func (u *up) startPrivateNATS(ctx context.Context) error {
	users := []local.NATSUser{{Name: natsAdmin, Password: rand.Text()}}
	for _, p := range topology.UserPermissions([]string{u.Account}) {
		users = append(users, local.NATSUser{
			Name:      p.User,
			Password:  rand.Text(),
			Publish:   p.Publish,
			Subscribe: p.Subscribe,
		})
	}
	server, err := local.StartNATS(ctx, local.NATSConfig{
		DataDir: filepath.Join(u.dataDir, "nats"),
		Users:   users,
		Logger:  u.logger,
	})
	if err != nil {
		return err
	}
	u.onStop(func() {
		if err := server.Close(); err != nil {
			u.logger.Warn("could not stop NATS", "error", err)
		}
	})
	u.at.NATS, u.natsURLs = server.URLFor(natsAdmin), map[string]string{}
	for _, user := range users {
		u.natsURLs[user.Name] = server.URLFor(user.Name)
	}
	return nil
}

// natsURL returns the address for the client of that name, with its user and password.
func (u *up) natsURL(name string) string { return cmp.Or(u.natsURLs[name], u.at.NATS) }

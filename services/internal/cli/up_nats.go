package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"path/filepath"

	"github.com/driftless-sync/driftless/services/internal/local"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// natsAdmin is the user of the private NATS server for commands and for the operator. It may do everything.
const natsAdmin = "driftless"

// startPrivateNATS starts the NATS server of this mesh. Everybody on the machine reaches its port, so it asks for a
// password. Each service has a user of its own with the permissions of production. The passwords are new at each
// start: mesh.json holds the administrator's, and a service has only its own.
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
			u.logger.Warn("stopping NATS", "error", err)
		}
	})
	u.at.NATS, u.natsURLs = server.URLFor(natsAdmin), map[string]string{}
	for _, user := range users {
		u.natsURLs[user.Name] = server.URLFor(user.Name)
	}
	return nil
}

// natsURL is how a client of that name connects.
func (u *up) natsURL(name string) string { return cmp.Or(u.natsURLs[name], u.at.NATS) }

package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"path/filepath"

	"github.com/driftless-sync/driftless/services/internal/local"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// natsAdmin is the user for commands and the operator on the private NATS server. It may do everything.
const natsAdmin = "driftless"

// startPrivateNATS starts the NATS server of this mesh. Everybody on the machine can reach its port, so it asks for a
// password. Each service has its own user with the permissions of production. The passwords are new at each start:
// mesh.json has the administrator's, and a service gets only its own.
func (u *up) startPrivateNATS(ctx context.Context) error {
	users := []local.NATSUser{{Name: natsAdmin, Password: rand.Text()}}
	for _, p := range topology.UserPermissions(u.topology()) {
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
	u.natsURLs = map[string]string{}
	for _, user := range users {
		if u.natsURLs[user.Name], err = server.URLFor(user.Name); err != nil {
			return err
		}
	}
	u.endpoints.NATS = u.natsURLs[natsAdmin]
	return nil
}

// natsURL returns the address for the client of that name, with its user and password.
func (u *up) natsURL(name string) string { return cmp.Or(u.natsURLs[name], u.endpoints.NATS) }

func (u *up) startNATS(ctx context.Context) error {
	u.endpoints.NATS = u.NATSURL
	if u.NATSURL == "" {
		if err := u.startPrivateNATS(ctx); err != nil {
			return err
		}
	}
	settings := u.NATS
	settings.NATSURL = u.natsURL(topology.AdminUser)
	client := service.NATS(topology.AdminUser, settings)
	client.Logger, client.Patience = u.logger, u.Timeout
	m, err := mesh.Connect(ctx, client)
	if err != nil {
		return err
	}
	defer m.Close()
	return u.applyTopology(ctx, m)
}

// applyTopology creates the streams, buckets and consumers that are missing. On a NATS server of the operator it never
// lowers replicas or limits.
func (u *up) applyTopology(ctx context.Context, m *mesh.Mesh) error {
	options := u.topology()
	if u.NATSURL != "" {
		options.Placement = topology.Placement{Cluster: u.PlacementCluster, Tags: u.PlacementTags}
	}
	var kept []string
	options.OnKept = func(d topology.Difference) { kept = append(kept, d.Kind+" "+d.Name+" ("+d.Lowers+")") }
	options.Refused = func(d topology.Difference, err error) {
		u.logger.WarnContext(ctx, "NATS refuses the settings that protect its streams; see docs/security.md",
			"of", d.Kind+" "+d.Name, "error", err)
	}
	err := m.ApplyTopology(ctx, options, u.Timeout)
	if len(kept) > 0 {
		u.logger.WarnContext(
			ctx, "NATS has more than is configured and is left as it is; `driftless topology apply --allow-lowering` lowers it",
			"of", len(kept), "first", kept[0])
	}
	return err
}

func (u *up) topology() topology.Options {
	return topology.Options{Accounts: []string{u.Account}, Replicas: u.replicas(), NoEvents: !u.PublishEvents}
}

// replicas returns the number of replicas of each stream: 1 on the server that up starts.
func (u *up) replicas() int {
	if u.NATSURL == "" {
		return 1
	}
	return u.NATSReplicas
}

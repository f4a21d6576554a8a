package schemas

import (
	"context"
	"embed"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/driftless-sync/driftless/services/internal/config"
)

//go:embed */schema.sql */role.sql */remove.sql */rows.sql */changes.sql */driftless.yaml
var files embed.FS

// Schema is one foreign catalog.
type Schema struct {
	// Name is the name of its folder.
	Name string
	// Accounts are the names of the Stripe accounts in its configuration. Without such a section there is one empty
	// name.
	Accounts []string
	// Role is the role with the least privileges, which role.sql creates for Driftless. It is empty if there is no such
	// file.
	Role string
	// Unwatched are the names of the tables that the mapping reads and does not watch.
	Unwatched []string
	// want computes the state that Stripe must have for an account's products.
	want func(t *tables, account string) Catalog
}

// All returns the schemas. Each has the structure of the product that it is named after.
func All() []Schema {
	return []Schema{
		{
			Name:      "northwind",
			Accounts:  []string{""},
			Unwatched: []string{"countries"},
			want:      northwind,
		},
		{
			Name:      "chinook",
			Accounts:  []string{""},
			Unwatched: []string{"media_type"},
			want:      chinook,
		},
		{
			Name:      "medusa",
			Accounts:  []string{""},
			Unwatched: []string{"product_type"},
			want:      medusa,
		},
		{
			Name:      "saleor",
			Accounts:  []string{""},
			Unwatched: []string{"tax_taxclass"},
			want:      saleor,
		},
		{
			Name:      "vendure",
			Accounts:  []string{""},
			Role:      "vendure_driftless",
			Unwatched: []string{"tax_category"},
			want:      vendure,
		},
		{
			Name:      "lago",
			Accounts:  []string{"north", "south"},
			Unwatched: []string{"organizations"},
			want:      lago,
		},
		{
			Name:      "woocommerce",
			Accounts:  []string{""},
			Unwatched: []string{"wp_options", "wp_term_taxonomy"},
			want:      woocommerce,
		},
		{
			Name:      "prisma",
			Accounts:  []string{""},
			Unwatched: []string{`"TaxClass"`},
			want:      prisma,
		},
	}
}

// File returns one of the schema's files.
func (s Schema) File(name string) (string, error) {
	text, err := files.ReadFile(s.Name + "/" + name)
	if err != nil {
		return "", fmt.Errorf("schema %s: %w", s.Name, err)
	}
	return string(text), nil
}

// Create creates the tables and fills them with about size products.
func (s Schema) Create(ctx context.Context, conn *pgx.Conn, size int) error {
	// The generators read the settings, so that the SQL stays plain SQL.
	if _, err := conn.Exec(ctx, "SELECT set_config('fixture.size', $1, false)", strconv.Itoa(size)); err != nil {
		return fmt.Errorf("schema %s: %w", s.Name, err)
	}
	for _, name := range []string{"schema.sql", "rows.sql"} {
		if err := s.execute(ctx, conn, name); err != nil {
			return err
		}
	}
	return nil
}

// CreateRole creates the role and the publication. Roles belong to the server, not to the database, so only one
// database of a server can have the role.
func (s Schema) CreateRole(ctx context.Context, conn Execer) error {
	return s.execute(ctx, conn, "role.sql")
}

// RemoveRole removes them.
func (s Schema) RemoveRole(ctx context.Context, conn Execer) error {
	return s.execute(ctx, conn, "remove.sql")
}

// Execer is a connection or a pool.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func (s Schema) execute(ctx context.Context, conn Execer, name string) error {
	text, err := s.File(name)
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, text); err != nil {
		return fmt.Errorf("schema %s: %s: %w", s.Name, name, err)
	}
	return nil
}

// Config reads the mapping of an account as the services do. path is the path of the configuration file.
func (s Schema) Config(path, account string) (*config.Mapping, error) {
	var settings struct {
		config.File
		config.Mesh
	}
	args := []string{"--config", path}
	if account != "" {
		args = append(args, "--account", account)
	}
	m, err := config.Parse(&settings, "schemas", "", "", args)
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", s.Name, err)
	}
	return m, nil
}

// Want computes from the rows the state that Stripe must have for an account's products.
func (s Schema) Want(ctx context.Context, conn Querier, account string) (Catalog, error) {
	t := &tables{ctx: ctx, conn: conn}
	want := s.want(t, account)
	if t.err != nil {
		return nil, fmt.Errorf("schema %s: %w", s.Name, t.err)
	}
	return want, nil
}

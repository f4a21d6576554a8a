// Package postgres connects to the databases of the catalog and of the ledger: in UTF-8, and with the current
// credentials.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/driftless-sync/driftless/services/internal/secretfile"
)

// Database is a Postgres database and the client that connects to it.
type Database struct {
	// URL is the setting's value at the start of the process. It always decides hosts, ports, database and parameters.
	URL string
	// File is the file that URL was read from. It is empty if there was none. Every connection reads user and password
	// from it again. Client certificates and password files (PGPASSFILE) are read again with or without it.
	File string
	// Setting is the name of the setting in messages: DATABASE_URL.
	Setting string
	// Application is the client's name in pg_stat_activity.
	Application string
	// Logger gets warnings about refused credentials. Defaults to slog.Default().
	Logger *slog.Logger
}

// Config returns how to connect now.
func (d Database) Config() (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(d.URL)
	if err != nil {
		return nil, d.urlError()
	}
	d.setParameters(cfg)
	return cfg, d.refreshCredentials(cfg)
}

// Connect opens a connection.
func (d Database) Connect(ctx context.Context) (*pgx.Conn, error) {
	cfg, err := d.Config()
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	return conn, d.Explain(err)
}

// PoolConfig returns the configuration of a pool that connects as Connect does. The caller may change it.
func (d Database) PoolConfig() (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(d.URL)
	if err != nil {
		return nil, d.urlError()
	}
	d.setParameters(cfg.ConnConfig)
	cfg.BeforeConnect = func(_ context.Context, cfg *pgx.ConnConfig) error { return d.refreshCredentials(cfg) }
	usual := cfg.ConnConfig.OnPgError
	cfg.ConnConfig.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		// The pool returns the error to a caller that does not know of the file.
		if d.File != "" && isRefused(err) {
			d.logger().Warn("Postgres refused the credentials; "+fileHint, "setting", d.Setting, "file", d.File,
				"error", err.Message)
		}
		return usual(conn, err)
	}
	return cfg, nil
}

const fileHint = "every connection reads them from a file again: write the correct ones into it"

// Explain adds the file of the credentials to a connection's error if Postgres refused them.
func (d Database) Explain(err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || d.File == "" || !isRefused(pg) {
		return err
	}
	return fmt.Errorf("%w; the credentials of %s (file %s): %s", err, d.Setting, d.File, fileHint)
}

// isRefused reports whether Postgres refused the user or the password.
func isRefused(err *pgconn.PgError) bool { return err.Code == "28P01" || err.Code == "28000" }

func (d Database) urlError() error {
	// The parser's error may contain the password.
	return fmt.Errorf("%s is not a Postgres URL: it must look like postgres://user:password@host:5432/database",
		d.Setting)
}

// setParameters sets parameters that every connection needs, whatever the URL says.
func (d Database) setParameters(cfg *pgx.ConnConfig) {
	// Without it Postgres sends texts in the database's encoding, also through the replication protocol.
	cfg.RuntimeParams["client_encoding"] = "UTF8"
	cfg.RuntimeParams["application_name"] = d.Application
}

// refreshCredentials updates a configuration with the current credentials.
func (d Database) refreshCredentials(cfg *pgx.ConnConfig) error {
	text := d.URL
	if d.File != "" {
		var err error
		if text, err = secretfile.Read(d.Setting, d.File); err != nil {
			return err
		}
	}
	now, err := pgx.ParseConfig(text)
	if err != nil {
		return fmt.Errorf("%w; file %s holds something else", d.urlError(), d.File)
	}
	cfg.User, cfg.Password = now.User, now.Password
	if sameServers(cfg, now) {
		// The client certificate is read with the URL.
		cfg.TLSConfig, cfg.Fallbacks = now.TLSConfig, now.Fallbacks
		return nil
	}
	d.logger().Warn(
		"the file names another server or database than at the start; only its user and password are used: "+
			"restart the service to change to the other server",
		"setting", d.Setting, "file", d.File)
	return nil
}

func (d Database) logger() *slog.Logger {
	if d.Logger == nil {
		return slog.Default()
	}
	return d.Logger
}

func sameServers(a, b *pgx.ConnConfig) bool {
	if a.Host != b.Host || a.Port != b.Port || a.Database != b.Database || len(a.Fallbacks) != len(b.Fallbacks) {
		return false
	}
	for i, f := range a.Fallbacks {
		if f.Host != b.Fallbacks[i].Host || f.Port != b.Fallbacks[i].Port {
			return false
		}
	}
	return true
}

// CheckEncoding returns an error for a database without a known encoding of its texts.
func CheckEncoding(ctx context.Context, pool *pgxpool.Pool) error {
	var name, encoding string
	err := pool.QueryRow(ctx, "SELECT current_database(), current_setting('server_encoding')").Scan(&name, &encoding)
	if err != nil {
		return fmt.Errorf("read the database's encoding: %w", err)
	}
	if encoding != "SQL_ASCII" {
		return nil
	}
	return fmt.Errorf("database %s has encoding SQL_ASCII: Postgres does not know which characters its bytes encode, "+
		"and Stripe takes only UTF-8; move the tables to a database made by `CREATE DATABASE %s ENCODING 'UTF8' TEMPLATE template0;`, "+
		"with pg_dump --encoding and the encoding that the texts are in",
		name, pgx.Identifier{name + "_utf8"}.Sanitize())
}

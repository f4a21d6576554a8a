// Package postgres connects to the databases of the catalog and of the ledger: in UTF-8, and with the credentials that
// are right now.
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

// Database is a Postgres database, and who connects to it.
type Database struct {
	// URL is what the setting held when the process started. Hosts, ports, database and parameters are always its.
	URL string
	// File is the file that URL was read from; empty for none. User and password are read from it at every connection.
	// So are client certificates and password files (PGPASSFILE), with a file or without.
	File string
	// Setting names URL in messages: DATABASE_URL.
	Setting string
	// Application is the client's name in pg_stat_activity.
	Application string
	// Logger is told of credentials that are refused; slog.Default() if nil.
	Logger *slog.Logger
}

// Config returns how to connect now.
func (d Database) Config() (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(d.URL)
	if err != nil {
		return nil, d.noURL()
	}
	d.set(cfg)
	return cfg, d.refresh(cfg)
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

// PoolConfig returns the configuration of a pool that connects as Connect does. What is edited in it stands.
func (d Database) PoolConfig() (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(d.URL)
	if err != nil {
		return nil, d.noURL()
	}
	d.set(cfg.ConnConfig)
	cfg.BeforeConnect = func(_ context.Context, cfg *pgx.ConnConfig) error { return d.refresh(cfg) }
	usual := cfg.ConnConfig.OnPgError
	cfg.ConnConfig.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		// The pool gives the error to whoever asked for a connection, who does not know of the file.
		if d.File != "" && refused(err) {
			d.logger().Warn("Postgres refuses the credentials; "+readAgain, "setting", d.Setting, "file", d.File,
				"error", err.Message)
		}
		return usual(conn, err)
	}
	return cfg, nil
}

const readAgain = "they are those of a file that is read again at every connection: write the right ones into it"

// Explain adds to the error of a connection from which file its credentials are, if they are refused.
func (d Database) Explain(err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || d.File == "" || !refused(pg) {
		return err
	}
	return fmt.Errorf("%w; the credentials of %s (file %s): %s", err, d.Setting, d.File, readAgain)
}

// refused reports whether Postgres does not take user or password.
func refused(err *pgconn.PgError) bool { return err.Code == "28P01" || err.Code == "28000" }

func (d Database) noURL() error {
	// The parser's error may hold the password.
	return fmt.Errorf("%s is no Postgres URL: it must look like postgres://user:password@host:5432/database", d.Setting)
}

// set sets what every connection needs, whatever the URL says.
func (d Database) set(cfg *pgx.ConnConfig) {
	// Without it texts come in the database's encoding, through the replication protocol too.
	cfg.RuntimeParams["client_encoding"] = "UTF8"
	cfg.RuntimeParams["application_name"] = d.Application
}

// refresh gives a configuration the credentials of this moment.
func (d Database) refresh(cfg *pgx.ConnConfig) error {
	text := d.URL
	if d.File != "" {
		var err error
		if text, err = secretfile.Read(d.Setting, d.File); err != nil {
			return err
		}
	}
	now, err := pgx.ParseConfig(text)
	if err != nil {
		return fmt.Errorf("%w; file %s holds something else", d.noURL(), d.File)
	}
	cfg.User, cfg.Password = now.User, now.Password
	if sameServers(cfg, now) {
		// The client certificate is read with the URL.
		cfg.TLSConfig, cfg.Fallbacks = now.TLSConfig, now.Fallbacks
		return nil
	}
	d.logger().Warn(
		"only user and password are taken over from a file that names another server or database than at the start: "+
			"restart the service to change over to that",
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

// CheckEncoding refuses a database that does not know the encoding of its texts.
func CheckEncoding(ctx context.Context, pool *pgxpool.Pool) error {
	var name, encoding string
	err := pool.QueryRow(ctx, "SELECT current_database(), current_setting('server_encoding')").Scan(&name, &encoding)
	if err != nil {
		return fmt.Errorf("read its encoding: %w", err)
	}
	if encoding != "SQL_ASCII" {
		return nil
	}
	return fmt.Errorf("database %s has encoding SQL_ASCII: Postgres does not know which letters its bytes stand for, "+
		"and Stripe takes only UTF-8; move the tables to a database made by `CREATE DATABASE %s ENCODING 'UTF8' TEMPLATE template0;`, "+
		"with pg_dump --encoding and the encoding that the texts are in",
		name, pgx.Identifier{name + "_utf8"}.Sanitize())
}

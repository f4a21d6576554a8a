package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Answers returns an error if the database's server does not answer before ctx ends. It uses a connection of its own,
// because those of the pool may all be busy. A server that refuses the connection answers.
func (l *Ledger) Answers(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, l.pool.pool.Config().ConnConfig.Copy())
	if err == nil {
		return conn.Close(ctx)
	}
	if _, refused := errors.AsType[*pgconn.PgError](err); refused {
		return nil
	}
	return fmt.Errorf("connect to the ledger's database: %w", err)
}

// IsAway reports whether an error means that no connection to the database could be made.
func IsAway(err error) bool {
	_, failed := errors.AsType[*pgconn.ConnectError](err)
	return failed
}

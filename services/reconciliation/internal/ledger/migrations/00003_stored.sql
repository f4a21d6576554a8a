-- +goose Up
-- When the streams stored the messages of both sides. A stream that is made again counts from 1 again. Messages that
-- the ledger has already were stored before now.
ALTER TABLE driftless_ledger.product
    ADD COLUMN desired_stored timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN observed_stored timestamptz NOT NULL DEFAULT now();
ALTER TABLE driftless_ledger.product
    ALTER COLUMN desired_stored SET DEFAULT 'epoch',
    ALTER COLUMN observed_stored SET DEFAULT 'epoch';

-- +goose Up
-- When the streams stored what is known: a stream that is made anew counts from 1 again. What is known already was stored
-- before now.
ALTER TABLE driftless_ledger.product
    ADD COLUMN desired_stored timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN observed_stored timestamptz NOT NULL DEFAULT now();
ALTER TABLE driftless_ledger.product
    ALTER COLUMN desired_stored SET DEFAULT 'epoch',
    ALTER COLUMN observed_stored SET DEFAULT 'epoch';

-- +goose Up
-- The span that found the drift, as a W3C traceparent. Repairs link to it.
ALTER TABLE driftless_ledger.drift ADD COLUMN traceparent text NOT NULL DEFAULT '';

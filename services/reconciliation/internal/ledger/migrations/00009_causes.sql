-- +goose Up
-- Drift without a known cause is searched whenever events are recorded.
CREATE INDEX drift_unknown ON driftless_ledger.drift (account, product_id) WHERE caused_by = 'unknown';

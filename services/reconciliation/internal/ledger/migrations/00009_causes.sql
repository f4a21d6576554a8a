-- +goose Up
-- Drift whose cause is not known yet is looked for whenever events are recorded.
CREATE INDEX drift_unknown ON driftless_ledger.drift (account, product_id) WHERE caused_by = 'unknown';

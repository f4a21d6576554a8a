-- +goose Up
-- held_by has the rules of the guard that hold a product, and held_since the time since then. For every other product
-- held_by is empty and held_since is NULL.
ALTER TABLE driftless_ledger.product
    DROP CONSTRAINT product_state_check,
    ADD CONSTRAINT product_state_check CHECK (state IN ('in_sync', 'pending', 'held', 'drifted', 'dead', 'orphan')),
    ADD COLUMN held_by text[] NOT NULL DEFAULT '{}',
    ADD COLUMN held_since timestamptz;

CREATE VIEW driftless_ledger.held_changes AS
SELECT p.account, p.product_id AS product, (h ->> 'version')::numeric AS version, p.held_since AS since, p.held_by AS rules,
    coalesce(h -> 'findings', '[]') AS findings, coalesce(h -> 'approvals', '[]') AS approvals
FROM driftless_ledger.product p, LATERAL (SELECT p.observed_json -> 'hold' AS h) x
WHERE p.state = 'held';

-- +goose Up
-- The field that a dead letter is about. Letters are grouped by it. Earlier letters have none.
ALTER TABLE driftless_ledger.dead_letter ADD COLUMN field text NOT NULL DEFAULT '';

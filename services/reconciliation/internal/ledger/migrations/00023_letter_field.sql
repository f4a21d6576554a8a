-- +goose Up
-- The field that a dead letter is about, by which letters are grouped. The letters that are stored already have none.
ALTER TABLE driftless_ledger.dead_letter ADD COLUMN field text NOT NULL DEFAULT '';

-- +goose Up
-- The state of each side whose ids are stored in driftless_ledger.identifier. A program of an earlier version stores
-- states and no ids, and does not write these columns. So its products are found.
ALTER TABLE driftless_ledger.product
    ADD COLUMN identified_desired bigint NOT NULL DEFAULT -1,
    ADD COLUMN identified_observed bigint NOT NULL DEFAULT -1;

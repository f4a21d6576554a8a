-- +goose Up
-- Up to which state of each side the ids of a product are stored. A program of a version without these columns stores states
-- and no ids, and leaves the columns behind: so its products are found.
ALTER TABLE driftless_ledger.product
    ADD COLUMN identified_desired bigint NOT NULL DEFAULT -1,
    ADD COLUMN identified_observed bigint NOT NULL DEFAULT -1;

-- +goose Up
-- The sequence up to which a stream was read by everything that what the ledger says rests on: by reconciliation, and
-- for STRIPE by pull. It may be later than the position: the messages of other accounts do not move that. If a stream
-- begins behind it, messages were removed before they were read. -1 if it is not known.
ALTER TABLE driftless_ledger.stream_position ADD COLUMN read_to bigint NOT NULL DEFAULT -1;
ALTER TABLE driftless_ledger.reread_stream ADD COLUMN read_to bigint NOT NULL DEFAULT -1;

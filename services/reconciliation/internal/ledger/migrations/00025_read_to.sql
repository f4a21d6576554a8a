-- +goose Up
-- Everything that the ledger rests on has read the stream up to this sequence: reconciliation, and for STRIPE pull as
-- well. It may be later than the position, which the messages of other accounts do not move. If a stream begins after
-- it, messages were removed before they were read. -1 if it is not known.
ALTER TABLE driftless_ledger.stream_position ADD COLUMN read_to bigint NOT NULL DEFAULT -1;
ALTER TABLE driftless_ledger.reread_stream ADD COLUMN read_to bigint NOT NULL DEFAULT -1;

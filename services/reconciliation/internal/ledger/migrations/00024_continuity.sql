-- +goose Up
-- How far the ledger has the streams: everything up to the sequence that the consumer has acknowledged is stored. A
-- ledger that was restored from an older copy has earlier positions than its consumers.
CREATE TABLE driftless_ledger.stream_position (
    account text NOT NULL,
    stream text NOT NULL,
    -- When NATS created the stream. Another stream with the same name counts from 1 again.
    created timestamptz NOT NULL,
    sequence bigint NOT NULL,
    -- When NATS stored the message with the sequence. NULL if the stream did not have it any more.
    message_at timestamptz,
    -- When the position was stored.
    at timestamptz NOT NULL,
    PRIMARY KEY (account, stream)
);

-- The counts of transactions of each process. A process whose counts went back, or are gone, writes to an older copy.
-- A transaction updates one row, and transactions that run at the same time update different ones.
CREATE TABLE driftless_ledger.writer (
    account text NOT NULL,
    writer text NOT NULL,
    slot smallint NOT NULL,
    writes bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (account, writer, slot)
) WITH (fillfactor = 50);

-- An account has a row while its ledger lacks what NATS has delivered, and reads it again.
CREATE TABLE driftless_ledger.reread (
    account text PRIMARY KEY,
    -- The reason, as a sentence for operators.
    reason text NOT NULL,
    since timestamptz NOT NULL,
    -- When the positions of the copy were stored. NULL if it has none.
    copied_at timestamptz,
    -- True if the streams are not those that the ledger was made from. Then every product is compared with them.
    compare boolean NOT NULL DEFAULT false,
    compared boolean NOT NULL DEFAULT false,
    -- The work that the reread waits for, in words for operators. Empty if it waits for nothing.
    waits_for text NOT NULL DEFAULT '',
    -- The number of missing changes that were read so far.
    missing bigint NOT NULL DEFAULT 0,
    -- When the first and the last message that was read again were stored. NULL before one is read.
    first_at timestamptz,
    last_at timestamptz,
    -- The process that reads, and until when.
    holder text NOT NULL DEFAULT '',
    until timestamptz NOT NULL DEFAULT 'epoch'
);

-- The messages that are left to read again: from next to last, both included.
CREATE TABLE driftless_ledger.reread_stream (
    account text NOT NULL REFERENCES driftless_ledger.reread ON DELETE CASCADE,
    stream text NOT NULL,
    created timestamptz NOT NULL,
    first bigint NOT NULL,
    next bigint NOT NULL,
    last bigint NOT NULL,
    -- Messages up to this one were acknowledged, so the ledger had them once.
    acknowledged bigint NOT NULL,
    PRIMARY KEY (account, stream)
);

-- Times for which past states are incomplete: the ledger was restored from an older copy, or an earlier version of
-- reconciliation kept it, which may not keep past states.
CREATE TABLE driftless_ledger.past_state_gap (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL
);

-- +goose Up
-- Messages to publish after the transaction that wrote them. A row is deleted once JetStream has the message.
CREATE TABLE driftless_ledger.outbox (
    -- A product's messages are published in this order. Its row lock makes it the order of the commits.
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    product_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('outcome', 'command')),
    -- driftless.mesh.v1.Outcome or Command. Its id is the Nats-Msg-Id, so JetStream stores a message once that is
    -- published twice.
    payload bytea NOT NULL,
    traceparent text NOT NULL DEFAULT ''
);
CREATE INDEX outbox_account ON driftless_ledger.outbox (account, id);

-- +goose Up
-- Events for other programs that are published after the transaction that wrote them: a row is deleted once JetStream has
-- the event. It is not the outbox of outcomes and commands: those must not wait for events.
CREATE TABLE driftless_ledger.event_outbox (
    -- Events are published in this order. The row lock of a product makes it the order of the commits about it.
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    product_id text NOT NULL,
    -- The id of the CloudEvent, and its Nats-Msg-Id: an event that is published twice is stored once.
    event_id text NOT NULL,
    kind text NOT NULL,
    -- The CloudEvent as JSON.
    body bytea NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX event_outbox_account ON driftless_ledger.event_outbox (account, id);

-- The process that publishes the events of an account, so that the others do not publish the same ones beside it.
CREATE TABLE driftless_ledger.event_lease (
    account text PRIMARY KEY,
    holder text NOT NULL,
    until timestamptz NOT NULL
);

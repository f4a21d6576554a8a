-- +goose Up
-- Events for other programs, to publish after the transaction that wrote them. A row is deleted once JetStream has the
-- event. Outcomes and commands have an outbox of their own, because they must not wait for events.
CREATE TABLE driftless_ledger.event_outbox (
    -- Events are published in this order. The row lock of a product makes it the order of the commits about it.
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    product_id text NOT NULL,
    -- The id of the CloudEvent, and its Nats-Msg-Id. JetStream stores an event once that is published twice.
    event_id text NOT NULL,
    kind text NOT NULL,
    -- The CloudEvent as JSON.
    body bytea NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX event_outbox_account ON driftless_ledger.event_outbox (account, id);

-- The process that publishes the events of an account. The others do not publish meanwhile.
CREATE TABLE driftless_ledger.event_lease (
    account text PRIMARY KEY,
    holder text NOT NULL,
    until timestamptz NOT NULL
);

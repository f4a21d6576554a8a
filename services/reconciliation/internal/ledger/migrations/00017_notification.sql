-- +goose Up
-- Problems that were put into a notification, as long as they last.
CREATE TABLE driftless_ledger.notified (
    account text NOT NULL,
    -- webhook or slack.
    target text NOT NULL,
    problem text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (account, target, problem)
);

-- Notifications: at most one for each target that is not sent yet. Sent ones are kept for a while.
CREATE TABLE driftless_ledger.notification (
    id text PRIMARY KEY,
    account text NOT NULL,
    target text NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL,
    -- When the next attempt is made, also while one is made.
    next_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    error text NOT NULL DEFAULT '',
    sent_at timestamptz
);
CREATE INDEX notification_target ON driftless_ledger.notification (account, target, created_at DESC);

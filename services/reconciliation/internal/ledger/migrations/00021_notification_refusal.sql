-- +goose Up
-- A notification that its target has refused is not made again for the same problems for a while.
ALTER TABLE driftless_ledger.notification
    -- Identifies the problems that were open when the notification was made.
    ADD COLUMN problems text NOT NULL DEFAULT '',
    -- How often the target has refused these problems, one after another.
    ADD COLUMN refusals integer NOT NULL DEFAULT 0;

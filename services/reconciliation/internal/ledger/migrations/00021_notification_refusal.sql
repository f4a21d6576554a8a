-- +goose Up
-- A target that has refused a notification gets no other one about the same problems for a while.
ALTER TABLE driftless_ledger.notification
    -- Identifies the problems that were open when the notification was made.
    ADD COLUMN problems text NOT NULL DEFAULT '',
    -- How many times in a row the target has refused these problems.
    ADD COLUMN refusals integer NOT NULL DEFAULT 0;

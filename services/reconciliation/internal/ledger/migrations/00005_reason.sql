-- +goose Up
-- Dead letters are searched by reason. The history has the reasons of those that were stored earlier.
ALTER TABLE driftless_ledger.dead_letter ADD COLUMN reason text NOT NULL DEFAULT '';
UPDATE driftless_ledger.dead_letter l SET reason = split_part(h.detail, ':', 1)
    FROM driftless_ledger.history h WHERE h.event_id = 'DEAD:' || l.id;

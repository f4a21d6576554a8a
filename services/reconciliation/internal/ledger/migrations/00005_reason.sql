-- +goose Up
-- Dead letters are looked for by reason. The trail has that of the ones stored before.
ALTER TABLE driftless_ledger.dead_letter ADD COLUMN reason text NOT NULL DEFAULT '';
UPDATE driftless_ledger.dead_letter l SET reason = split_part(h.detail, ':', 1)
    FROM driftless_ledger.history h WHERE h.event_id = 'DEAD:' || l.id;

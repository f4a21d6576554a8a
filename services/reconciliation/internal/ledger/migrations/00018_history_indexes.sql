-- +goose NO TRANSACTION
-- +goose Up
-- An entry of the audit trail is found by its trace, and by Stripe's ids of its requests. The history may be large, and
-- services of the earlier version write to it meanwhile: the indexes are built beside them. An index that an
-- interrupted run left behind is not valid, so it is dropped first.
DROP INDEX IF EXISTS driftless_ledger.history_trace;
CREATE INDEX CONCURRENTLY history_trace ON driftless_ledger.history (trace_id) WHERE trace_id <> '';
DROP INDEX IF EXISTS driftless_ledger.history_request;
CREATE INDEX CONCURRENTLY history_request ON driftless_ledger.history USING gin (
    (jsonb_path_query_array(data, '$.steps[*].stripe_request_id') || jsonb_path_query_array(data, '$.stripe_request_id'))
) WHERE data IS NOT NULL AND kind IN ('applied', 'failed', 'dead', 'stripe_event');

-- +goose Up
-- Both sides as JSON, with the field names of the contract. The bytes in desired and observed decide. desired_json_of
-- and observed_json_of are the sequence and the revision that the JSON is from.
ALTER TABLE driftless_ledger.product
    ADD COLUMN desired_json jsonb,
    ADD COLUMN desired_json_of bigint NOT NULL DEFAULT 0,
    ADD COLUMN observed_json jsonb,
    ADD COLUMN observed_json_of bigint NOT NULL DEFAULT 0;

CREATE VIEW driftless_ledger.stripe_products AS
SELECT p.account, coalesce(p.observed_json ->> 'stripe_id', p.product_id) AS id, p.product_id AS catalog_product,
    (o ->> 'active')::boolean AS active, o ->> 'name' AS name, o ->> 'description' AS description,
    coalesce(o -> 'images', '[]') AS images, coalesce(o -> 'marketing_features', '[]') AS marketing_features,
    coalesce(o -> 'metadata', '{}') AS metadata, o -> 'package_dimensions' AS package_dimensions,
    (o ->> 'shippable')::boolean AS shippable, o ->> 'statement_descriptor' AS statement_descriptor, o ->> 'tax_code' AS tax_code,
    o ->> 'unit_label' AS unit_label, o ->> 'url' AS url, o ->> 'default_price' AS default_price,
    to_timestamp((p.observed_json ->> 'product_updated')::bigint) AS updated, p.observed_version AS catalog_version, p.state
FROM driftless_ledger.product p, LATERAL (SELECT p.observed_json -> 'product' AS o) x
WHERE o IS NOT NULL;

CREATE VIEW driftless_ledger.stripe_prices AS
SELECT p.account, e ->> 'stripe_id' AS id, coalesce(p.observed_json ->> 'stripe_id', p.product_id) AS product,
    p.product_id AS catalog_product, o ->> 'id' AS catalog_price,
    (o ->> 'active')::boolean AS active, o ->> 'currency' AS currency,
    (o ->> 'unit_amount')::numeric AS unit_amount, coalesce(o ->> 'unit_amount_decimal', o ->> 'unit_amount')::numeric AS unit_amount_decimal,
    o ->> 'billing_scheme' AS billing_scheme, o -> 'recurring' AS recurring, o -> 'tiers' AS tiers, o ->> 'tiers_mode' AS tiers_mode,
    o -> 'transform_quantity' AS transform_quantity, o -> 'currency_options' AS currency_options,
    o -> 'custom_unit_amount' AS custom_unit_amount, o ->> 'tax_behavior' AS tax_behavior, o ->> 'lookup_key' AS lookup_key,
    o ->> 'nickname' AS nickname, coalesce(o -> 'metadata', '{}') AS metadata, to_timestamp((e ->> 'created')::bigint) AS created
FROM driftless_ledger.product p, jsonb_array_elements(coalesce(p.observed_json -> 'prices', '[]')) e, LATERAL (SELECT e -> 'price' AS o) x;

CREATE VIEW driftless_ledger.catalog_products AS
SELECT p.account, p.product_id AS id, coalesce((o ->> 'active')::boolean, true) AS active, o ->> 'name' AS name, o ->> 'description' AS description,
    coalesce(o -> 'images', '[]') AS images, coalesce(o -> 'marketing_features', '[]') AS marketing_features,
    coalesce(o -> 'metadata', '{}') AS metadata, o -> 'package_dimensions' AS package_dimensions,
    (o ->> 'shippable')::boolean AS shippable, o ->> 'statement_descriptor' AS statement_descriptor, o ->> 'tax_code' AS tax_code,
    o ->> 'unit_label' AS unit_label, o ->> 'url' AS url, o ->> 'default_price' AS default_price, p.desired_version AS version, p.state
FROM driftless_ledger.product p, LATERAL (SELECT p.desired_json -> 'product' AS o) x
WHERE o IS NOT NULL;

CREATE VIEW driftless_ledger.catalog_prices AS
SELECT p.account, o ->> 'id' AS id, p.product_id AS product, coalesce((o ->> 'active')::boolean, true) AS active, o ->> 'currency' AS currency,
    nullif(o ->> 'unit_amount', '')::numeric AS unit_amount,
    coalesce(nullif(o ->> 'unit_amount_decimal', ''), nullif(o ->> 'unit_amount', ''))::numeric AS unit_amount_decimal,
    o ->> 'billing_scheme' AS billing_scheme, o -> 'recurring' AS recurring, o -> 'tiers' AS tiers, o ->> 'tiers_mode' AS tiers_mode,
    o -> 'transform_quantity' AS transform_quantity, o -> 'currency_options' AS currency_options,
    o -> 'custom_unit_amount' AS custom_unit_amount, o ->> 'tax_behavior' AS tax_behavior, o ->> 'lookup_key' AS lookup_key,
    o ->> 'nickname' AS nickname, coalesce(o -> 'metadata', '{}') AS metadata
FROM driftless_ledger.product p, jsonb_array_elements(coalesce(p.desired_json -> 'product' -> 'prices', '[]')) o;

CREATE VIEW driftless_ledger.drifts AS
SELECT account, product_id AS product, kind, field, catalog_value, stripe_value, action, since, caused_by, event_id AS stripe_event,
    state, decided, detail, attempts, settled_at
FROM driftless_ledger.drift;

CREATE VIEW driftless_ledger.product_history AS
SELECT account, product_id AS product, at, kind, version, detail, trace_id, data -> 'changes' AS changes, data -> 'differences' AS differences,
    data -> 'steps' AS steps, data ->> 'caused_by' AS caused_by, data ->> 'stripe_event_id' AS stripe_event,
    data ->> 'stripe_object_id' AS stripe_object, data ->> 'stripe_request_id' AS stripe_request, data ->> 'idempotency_key' AS idempotency_key
FROM driftless_ledger.history;

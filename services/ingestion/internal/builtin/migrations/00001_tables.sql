-- +goose Up
-- Columns have Stripe's field names. Types are strict. Stripe's limits are not checked here: a row that breaks one
-- becomes a dead letter that says so.
CREATE TABLE driftless.products (
    id text PRIMARY KEY,
    name text NOT NULL,
    active boolean NOT NULL DEFAULT true,
    description text,
    images text[],
    marketing_features text[],
    metadata jsonb,
    package_dimensions jsonb,
    shippable boolean,
    statement_descriptor text,
    tax_code text,
    unit_label text,
    url text,
    default_price text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE driftless.prices (
    id text PRIMARY KEY,
    product text NOT NULL REFERENCES driftless.products (id) ON DELETE CASCADE,
    active boolean NOT NULL DEFAULT true,
    currency text NOT NULL,
    unit_amount numeric,
    unit_amount_decimal numeric,
    billing_scheme text,
    recurring jsonb,
    tiers jsonb,
    tiers_mode text,
    transform_quantity jsonb,
    currency_options jsonb,
    custom_unit_amount jsonb,
    tax_behavior text,
    -- Deferred, so that one statement can swap two keys.
    lookup_key text UNIQUE DEFERRABLE INITIALLY DEFERRED,
    nickname text,
    metadata jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX prices_product ON driftless.prices (product);

-- The log has complete old rows: a deleted price still has its product, and the audit trail shows the old values.
ALTER TABLE driftless.products REPLICA IDENTITY FULL;
ALTER TABLE driftless.prices REPLICA IDENTITY FULL;

-- +goose StatementBegin
CREATE FUNCTION driftless.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER products_touch BEFORE UPDATE ON driftless.products FOR EACH ROW EXECUTE FUNCTION driftless.touch();
CREATE TRIGGER prices_touch BEFORE UPDATE ON driftless.prices FOR EACH ROW EXECUTE FUNCTION driftless.touch();

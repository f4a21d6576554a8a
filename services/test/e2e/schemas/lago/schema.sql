-- A billing system with tenants: a plan is a product, its base amount and its charges are prices. How a charge is
-- computed is in JSON, with amounts in major units. Each organization has a Stripe account of its own.
CREATE TABLE organizations (id uuid PRIMARY KEY, name varchar NOT NULL);
CREATE TABLE plans (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations,
    name varchar NOT NULL,
    code varchar NOT NULL,
    description varchar,
    "interval" int NOT NULL, -- 0 weekly, 1 monthly, 2 yearly, 3 quarterly
    amount_cents bigint NOT NULL,
    amount_currency varchar NOT NULL,
    deleted_at timestamp
);
ALTER TABLE plans REPLICA IDENTITY FULL;
CREATE TABLE billable_metrics (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations,
    name varchar NOT NULL,
    code varchar NOT NULL
);
CREATE TABLE charges (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    plan_id uuid REFERENCES plans,
    billable_metric_id uuid REFERENCES billable_metrics,
    charge_model int NOT NULL, -- 0 standard, 1 graduated, 2 package, 4 volume
    properties jsonb NOT NULL DEFAULT '{}',
    invoice_display_name varchar,
    deleted_at timestamp
);
ALTER TABLE charges REPLICA IDENTITY FULL;
CREATE TABLE features (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations,
    name varchar NOT NULL,
    deleted_at timestamp
);
CREATE TABLE entitlements (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    plan_id uuid REFERENCES plans,
    feature_id uuid NOT NULL REFERENCES features
);
ALTER TABLE entitlements REPLICA IDENTITY FULL;
CREATE INDEX ON charges (plan_id);
CREATE INDEX ON entitlements (feature_id);

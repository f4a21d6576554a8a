INSERT INTO organizations VALUES ('00000000-0000-4000-8000-000000000001', 'North'), ('00000000-0000-4000-8000-000000000002', 'South');
INSERT INTO billable_metrics (organization_id, name, code)
    SELECT o.id, o.name || ' ' || m, m FROM organizations o, unnest(ARRAY['calls', 'storage', 'seats', 'messages']) m;
INSERT INTO features (organization_id, name)
    SELECT o.id, o.name || ' feature ' || i FROM organizations o, generate_series(1, 3) i;
INSERT INTO plans (organization_id, name, code, description, "interval", amount_cents, amount_currency)
    SELECT o.id, 'Plan ' || i, 'plan_' || i, CASE WHEN i % 3 <> 0 THEN 'For teams of ' || i END, i % 4,
        CASE WHEN i % 7 <> 0 THEN 100 * i ELSE 0 END, (ARRAY['USD', 'EUR', 'JPY'])[1 + i % 3]
    FROM organizations o, generate_series(1, current_setting('fixture.size')::int / 4) i;
INSERT INTO charges (plan_id, billable_metric_id, charge_model, properties, invoice_display_name)
    SELECT p.id, m.id, c.model, c.properties::jsonb, CASE WHEN c.model = 1 THEN 'Calls of ' || p.name END
    FROM plans p
    JOIN (VALUES
        ('storage', 0, '{"amount": "0.0035"}'),
        ('calls', 1, '{"graduated_ranges": [
            {"from_value": 0, "to_value": 100, "per_unit_amount": "0.05", "flat_amount": "0"},
            {"from_value": 101, "to_value": 1000, "per_unit_amount": "0.035", "flat_amount": "10"},
            {"from_value": 1001, "to_value": null, "per_unit_amount": "0.01", "flat_amount": "0"}]}'),
        ('messages', 2, '{"amount": "5", "package_size": 1000}'),
        ('seats', 4, '{"volume_ranges": [
            {"from_value": 0, "to_value": 10, "per_unit_amount": "12", "flat_amount": "0"},
            {"from_value": 11, "to_value": null, "per_unit_amount": "9.5", "flat_amount": "0"}]}')
    ) c (metric, model, properties) ON true
    JOIN billable_metrics m ON m.organization_id = p.organization_id AND m.code = c.metric
    WHERE (right(p.code, 1)::int + c.model) % 4 <> 0 AND p.amount_currency <> 'JPY';
INSERT INTO entitlements (plan_id, feature_id)
    SELECT p.id, f.id FROM plans p
    JOIN features f ON f.organization_id = p.organization_id
    WHERE (right(p.code, 1)::int + right(f.name, 1)::int) % 3 <> 0;

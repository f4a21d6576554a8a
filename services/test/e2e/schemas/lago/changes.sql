-- change: plans of both tenants are renamed, and get another amount
UPDATE plans SET name = 'Plan 1 Plus', amount_cents = 4242 WHERE code = 'plan_1';

-- change: a shared feature is renamed
UPDATE features SET name = replace(name, 'feature 1', 'single sign-on') WHERE name LIKE '%feature 1';

-- change: a metric is renamed, which charges show that have no name of their own
UPDATE billable_metrics SET name = name || ' used' WHERE code = 'storage';

-- change: all base amounts rise by a tenth in one statement
UPDATE plans SET amount_cents = round(amount_cents * 1.1);

-- change: the tiers of all graduated charges are others
UPDATE charges SET properties = jsonb_set(properties, '{graduated_ranges,1,per_unit_amount}', '"0.0275"') WHERE charge_model = 1;

-- change: packages become larger
UPDATE charges SET properties = '{"amount": "40", "package_size": 10000}' WHERE charge_model = 2;

-- change: a charge gets tiers instead of one amount
UPDATE charges SET charge_model = 4, properties = '{"volume_ranges": [{"from_value": 0, "to_value": null, "per_unit_amount": "0.5", "flat_amount": "1"}]}'
    WHERE charge_model = 0 AND plan_id = (SELECT plan_id FROM charges WHERE charge_model = 0 ORDER BY id LIMIT 1);

-- change: charges are deleted softly
UPDATE charges SET deleted_at = now() WHERE charge_model = 2;

-- change: and come back
UPDATE charges SET deleted_at = NULL WHERE charge_model = 2;

-- change: a plan is deleted softly
UPDATE plans SET deleted_at = now() WHERE code = 'plan_4';

-- change: and comes back
UPDATE plans SET deleted_at = NULL WHERE code = 'plan_4';

-- change: a feature is deleted softly
UPDATE features SET deleted_at = now() WHERE name LIKE '%feature 2';

-- change: plans lose a feature
DELETE FROM entitlements WHERE plan_id IN (SELECT id FROM plans WHERE code = 'plan_5');

-- change: charges move to another plan
UPDATE charges c SET plan_id = (SELECT q.id FROM plans q JOIN plans p USING (organization_id) WHERE p.id = c.plan_id AND q.code = 'plan_1')
    WHERE charge_model = 1 AND plan_id IN (SELECT id FROM plans WHERE code = 'plan_10');

-- change: a plan becomes yearly
UPDATE plans SET "interval" = 2 WHERE code = 'plan_1';

-- change: plans move to the other tenant
UPDATE plans p SET organization_id = (SELECT id FROM organizations o WHERE o.id <> p.organization_id) WHERE code = 'plan_6';

-- change: new plans
INSERT INTO plans (organization_id, name, code, "interval", amount_cents, amount_currency)
    SELECT id, 'New', 'new', 1, 900, 'EUR' FROM organizations;

-- change: plans are deleted with all that belongs to them
DELETE FROM entitlements WHERE plan_id IN (SELECT id FROM plans WHERE code = 'plan_2');
DELETE FROM charges WHERE plan_id IN (SELECT id FROM plans WHERE code = 'plan_2');
DELETE FROM plans WHERE code = 'plan_2';

-- change: charges of no plan
-- expects: nothing
INSERT INTO charges (plan_id, billable_metric_id, charge_model)
    SELECT NULL, (SELECT id FROM billable_metrics LIMIT 1), 0 FROM generate_series(1, 20000);

-- change: organizations are renamed, in a table that is not watched
-- expects: reread
UPDATE organizations SET name = name || ' Ltd.';

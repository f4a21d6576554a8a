-- +goose Up
-- How long a replaced price of the product stays active. It is no field of Stripe's. NULL leaves it to the setting
-- prices_archive_after.
ALTER TABLE driftless.products ADD COLUMN archive_after interval;

-- What is known of the door that takes webhooks, for each merchant: when it stood open, and what could not be read.

-- +goose Up
-- last_open is renewed every minute by the process that serves the door. gap_from and gap_until are the last time that it was closed for
-- longer than Shopify tries again. problems counts the deliveries since problem_since that could not be read; problem is the last one's.
CREATE TABLE doors (
    merchant TEXT PRIMARY KEY,
    first_open BIGINT NOT NULL,
    last_open BIGINT NOT NULL,
    gap_from BIGINT NOT NULL,
    gap_until BIGINT NOT NULL,
    last_delivery BIGINT NOT NULL,
    problems BIGINT NOT NULL,
    problem_since BIGINT NOT NULL,
    problem_last BIGINT NOT NULL,
    problem_topic TEXT NOT NULL,
    problem TEXT NOT NULL
);

CREATE INDEX deliveries_problem ON deliveries (merchant, received) WHERE problem <> '';

-- +goose Down
-- A ledger is never taken back: losing it loses every known opt-out.
SELECT 1;

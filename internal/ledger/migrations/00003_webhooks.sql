-- What webhooks leave here: their ids, a keyed hash of their body, and what follows from them. Never a body.

-- +goose Up
-- Which deliveries were taken already: Shopify sends each at least once, and tries again for four hours.
CREATE TABLE deliveries (
    merchant TEXT NOT NULL,
    delivery TEXT NOT NULL,
    topic TEXT NOT NULL,
    body BYTEA NOT NULL,
    problem TEXT NOT NULL,
    received BIGINT NOT NULL,
    PRIMARY KEY (merchant, delivery)
);
CREATE INDEX deliveries_received ON deliveries (received);

-- Customers of whom a webhook says that there is news. mark rises with every webhook, so that one that comes while the customer is
-- being read is not lost.
CREATE TABLE hints (
    merchant TEXT NOT NULL,
    customer TEXT NOT NULL,
    mark BIGINT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (merchant, customer)
);
CREATE INDEX hints_since ON hints (merchant, since);

-- awake_until: until then somebody reads the merchant's hints, or is on the way, and nobody needs to be sent.
CREATE TABLE drains (
    merchant TEXT PRIMARY KEY,
    awake_until BIGINT NOT NULL
);

-- What people and merchants have a right to. sealed is who it is about, erased when it is done.
CREATE TABLE privacy_requests (
    merchant TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    customer TEXT NOT NULL,
    sealed BYTEA,
    received BIGINT NOT NULL,
    due BIGINT NOT NULL,
    done BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    progress TEXT NOT NULL,
    PRIMARY KEY (merchant, id)
);
CREATE INDEX privacy_requests_open ON privacy_requests (received) WHERE done = 0;

-- +goose Down
-- A ledger is never taken back: losing it loses every known opt-out.
SELECT 1;

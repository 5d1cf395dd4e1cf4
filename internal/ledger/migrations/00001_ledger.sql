-- One file for both databases: only types that both understand. SQLite gives BYTEA columns numeric affinity, which leaves blobs as
-- they are. Times are microseconds since the Unix epoch, 0 for none. Subjects are keyed hashes of 32 bytes.

-- +goose Up
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE merchants (
    id TEXT PRIMARY KEY,
    shop TEXT NOT NULL,
    listrak_url TEXT NOT NULL,
    email_list BIGINT NOT NULL,
    settings TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX merchants_shop ON merchants (shop) WHERE state <> 'removed';
CREATE UNIQUE INDEX merchants_list ON merchants (listrak_url, email_list) WHERE state <> 'removed' AND email_list <> 0;

CREATE TABLE secrets (
    merchant TEXT NOT NULL REFERENCES merchants (id),
    name TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (merchant, name)
);

CREATE TABLE syncs (
    merchant TEXT NOT NULL REFERENCES merchants (id),
    sync TEXT NOT NULL,
    is_on BIGINT NOT NULL,
    first_on BIGINT NOT NULL,
    existing_opt_outs TEXT NOT NULL,
    PRIMARY KEY (merchant, sync)
);

-- ended 0: still on.
CREATE TABLE sync_intervals (
    merchant TEXT NOT NULL REFERENCES merchants (id),
    sync TEXT NOT NULL,
    began BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    PRIMARY KEY (merchant, sync, began)
);

-- record is the JSON of recordtext.go; decision, decided_at, debt_* and next_* repeat what queries need of it. address is sealed.
CREATE TABLE subjects (
    merchant TEXT NOT NULL,
    channel SMALLINT NOT NULL,
    subject BYTEA NOT NULL,
    version BIGINT NOT NULL,
    record TEXT NOT NULL,
    decision SMALLINT NOT NULL,
    decided_at BIGINT NOT NULL,
    debt_shopify SMALLINT NOT NULL,
    debt_listrak SMALLINT NOT NULL,
    next_shopify BIGINT NOT NULL,
    next_listrak BIGINT NOT NULL,
    address BYTEA,
    -- The hash first: look-ups by hash then have no other way through the index. With the merchant first, a plan that PostgreSQL made
    -- while the table was small reads all subjects of the merchant for every batch.
    PRIMARY KEY (subject, channel, merchant)
);
-- Most subjects are settled; the partial indexes hold only the others, so that a round costs what is owed, not who is known.
CREATE INDEX subjects_debt_shopify ON subjects (merchant, channel, debt_shopify, decision, decided_at, next_shopify)
    WHERE debt_shopify > 0;
CREATE INDEX subjects_debt_listrak ON subjects (merchant, channel, debt_listrak, decision, decided_at, next_listrak)
    WHERE debt_listrak > 0;

CREATE TABLE customers (
    merchant TEXT NOT NULL,
    customer TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    email BYTEA,
    sms BYTEA,
    PRIMARY KEY (merchant, customer)
);

CREATE TABLE claims (
    merchant TEXT NOT NULL,
    channel SMALLINT NOT NULL,
    subject BYTEA NOT NULL,
    side SMALLINT NOT NULL,
    token BIGINT NOT NULL,
    sync TEXT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (merchant, channel, subject, side)
);
CREATE INDEX claims_live ON claims (merchant, sync, until);

CREATE TABLE holds (
    merchant TEXT NOT NULL,
    channel SMALLINT NOT NULL,
    subject BYTEA NOT NULL,
    customer TEXT NOT NULL,
    consent BIGINT NOT NULL,
    until BIGINT NOT NULL,
    order_at BIGINT NOT NULL,
    opened BIGINT NOT NULL,
    PRIMARY KEY (merchant, channel, subject)
);
CREATE INDEX holds_until ON holds (merchant, until);
CREATE INDEX holds_customer ON holds (merchant, customer);

CREATE TABLE orders (
    merchant TEXT NOT NULL,
    order_id TEXT NOT NULL,
    customer TEXT NOT NULL,
    email BYTEA,
    created_at BIGINT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (merchant, order_id)
);
CREATE INDEX orders_customer ON orders (merchant, customer, created_at);
CREATE INDEX orders_email ON orders (merchant, email, created_at);
CREATE INDEX orders_until ON orders (until);

CREATE TABLE runs (
    merchant TEXT NOT NULL,
    kind TEXT NOT NULL,
    token BIGINT NOT NULL,
    holder TEXT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (merchant, kind)
);

CREATE TABLE cursors (
    merchant TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (merchant, name)
);

CREATE TABLE run_status (
    merchant TEXT NOT NULL,
    kind TEXT NOT NULL,
    began BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    scanned BIGINT NOT NULL,
    delivered_shopify BIGINT NOT NULL,
    delivered_listrak BIGINT NOT NULL,
    error_class SMALLINT NOT NULL,
    error_code TEXT NOT NULL,
    failures BIGINT NOT NULL,
    lag BIGINT NOT NULL,
    PRIMARY KEY (merchant, kind)
);

-- Append-only. version and line order the lines that one transaction wrote at the same microsecond.
CREATE TABLE journal (
    merchant TEXT NOT NULL,
    channel SMALLINT NOT NULL,
    subject BYTEA NOT NULL,
    at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    line BIGINT NOT NULL,
    side SMALLINT NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    state SMALLINT NOT NULL,
    dated BIGINT NOT NULL,
    point SMALLINT NOT NULL,
    code TEXT NOT NULL,
    sync TEXT NOT NULL,
    ref TEXT NOT NULL,
    amount BIGINT NOT NULL
);
CREATE INDEX journal_subject ON journal (merchant, channel, subject, at, version, line);
CREATE INDEX journal_resubscribed ON journal (merchant, channel, at) WHERE reason = 'resubscribed';

-- +goose Down
-- A ledger is never taken back: losing it loses every known opt-out.
SELECT 1;

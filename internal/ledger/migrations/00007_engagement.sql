-- What people did with messages, on its way from Listrak to Shopify: totals of each message and day, and of each person what the shop can
-- use. People are keyed hashes; record and told are binary, written and read by internal/engagement.

-- +goose Up
-- ref numbers the messages of a merchant in records. list is the Listrak list that it is read from, 0 for one that is only told to us.
-- page is where a reading of its activity stands, summary what Listrak summed up when it was last read. told_title is empty until Shopify
-- has the marketing activity.
CREATE TABLE engagement_messages (
    merchant TEXT NOT NULL,
    message TEXT NOT NULL,
    ref BIGINT NOT NULL,
    channel SMALLINT NOT NULL,
    list BIGINT NOT NULL,
    kind SMALLINT NOT NULL,
    conversation BIGINT NOT NULL,
    number BIGINT NOT NULL,
    title TEXT NOT NULL,
    sent_at BIGINT NOT NULL,
    zone TEXT NOT NULL,
    next_read BIGINT NOT NULL,
    read_at BIGINT NOT NULL,
    full_at BIGINT NOT NULL,
    summary TEXT NOT NULL,
    page TEXT NOT NULL,
    told_title TEXT NOT NULL,
    PRIMARY KEY (merchant, message)
);
CREATE UNIQUE INDEX engagement_messages_ref ON engagement_messages (merchant, ref);
CREATE INDEX engagement_messages_next ON engagement_messages (merchant, list, next_read);

-- day counts from 1970-01-01 in the message's zone. told is what Shopify was told last; due_at is when to tell it (again), 0 for never;
-- until unsure a call whose end nobody knows may still take effect, so that it has to be told once more after that.
CREATE TABLE engagement_days (
    merchant TEXT NOT NULL,
    ref BIGINT NOT NULL,
    day BIGINT NOT NULL,
    sends BIGINT NOT NULL,
    deliveries BIGINT NOT NULL,
    views BIGINT NOT NULL,
    unique_views BIGINT NOT NULL,
    clicks BIGINT NOT NULL,
    unique_clicks BIGINT NOT NULL,
    bounces BIGINT NOT NULL,
    unsubscribes BIGINT NOT NULL,
    complaints BIGINT NOT NULL,
    told TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    unsure BIGINT NOT NULL,
    PRIMARY KEY (merchant, ref, day)
);
CREATE INDEX engagement_days_due ON engagement_days (merchant, due_at) WHERE due_at > 0;

CREATE TABLE engagement_people (
    merchant TEXT NOT NULL,
    channel SMALLINT NOT NULL,
    subject BYTEA NOT NULL,
    version BIGINT NOT NULL,
    record BYTEA NOT NULL,
    told BYTEA NOT NULL,
    due_at BIGINT NOT NULL,
    unsure BIGINT NOT NULL,
    PRIMARY KEY (merchant, subject)
);
CREATE INDEX engagement_people_due ON engagement_people (merchant, channel, due_at) WHERE due_at > 0;

-- Which events were taken in already, by a keyed hash of their id.
CREATE TABLE engagement_events (
    merchant TEXT NOT NULL,
    event BYTEA NOT NULL,
    received BIGINT NOT NULL,
    PRIMARY KEY (merchant, event)
);
CREATE INDEX engagement_events_received ON engagement_events (received);

-- Which customer is behind an address.
CREATE INDEX customers_of_email ON customers (merchant, email);
CREATE INDEX customers_of_sms ON customers (merchant, sms);

-- +goose Down
-- A ledger is never taken back: losing it loses every known opt-out.
SELECT 1;

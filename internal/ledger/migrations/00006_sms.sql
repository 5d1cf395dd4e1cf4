-- SMS, the second channel.

-- +goose Up
-- A phone list serves one merchant, as an email list does.
ALTER TABLE merchants ADD COLUMN sms_url TEXT NOT NULL DEFAULT '';
ALTER TABLE merchants ADD COLUMN sms_list BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX merchants_sms_list ON merchants (sms_url, sms_list) WHERE state <> 'removed' AND sms_list <> 0;

-- When a whole list was read last with this subject on it; 0 for never. It is beside the record: that somebody is still there is no
-- news that would have to win a race.
ALTER TABLE subjects ADD COLUMN listed BIGINT NOT NULL DEFAULT 0;

-- Phone numbers of either side that cannot be read: a person must mend them there. phone is the keyed hash of what stands there, sealed
-- the text itself. ref is the Shopify customer, empty for Listrak.
CREATE TABLE unreadable_phones (
    merchant TEXT NOT NULL,
    side SMALLINT NOT NULL,
    ref TEXT NOT NULL,
    phone BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    seen BIGINT NOT NULL,
    PRIMARY KEY (merchant, side, ref, phone)
);
CREATE INDEX unreadable_phones_seen ON unreadable_phones (seen);

-- +goose Down
-- A ledger is never taken back: losing it loses every known opt-out.
SELECT 1;

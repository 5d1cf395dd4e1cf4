-- Merchants all of whose people were erased (shop/redact). What is left of them are the hashes of who had unsubscribed, until forget_at.

-- +goose Up
CREATE TABLE erased_merchants (
    merchant TEXT PRIMARY KEY,
    erased_at BIGINT NOT NULL,
    forget_at BIGINT NOT NULL
);

-- +goose Down
-- A ledger is never taken back: losing it loses every known opt-out.
SELECT 1;

-- The alarm about many unsubscribes counts a day's deliveries, in every round that has delivered one. On a large journal PostgreSQL
-- takes a moment to build the index, and nothing is written to the journal meanwhile.

-- +goose Up
CREATE INDEX journal_unsubscribed ON journal (merchant, channel, at) WHERE kind = 'delivered' AND state = 7;

-- +goose Down
-- A ledger is never taken back: losing it loses every known opt-out.
SELECT 1;

package ledger

import (
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/concordsync/concord/internal/consent"
)

func TestEveryRecordIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		record := rapid.Make[consent.Record]().Draw(r, "record")
		text, err := encodeRecord(record)
		require.NoError(r, err)
		got, err := decodeRecord([]byte(text))
		require.NoError(r, err)
		require.Empty(r, cmp.Diff(record, got))
		require.True(r, utf8.ValidString(text))
	})
}

// TestStoredRecordsOfFormat1StayReadable holds the names that ledgers out there contain.
func TestStoredRecordsOfFormat1StayReadable(t *testing.T) {
	t.Parallel()
	const text = `{"v":1,"decision":{"state":7,"at":1,"within":2,"side":1,"keyword":true},` +
		`"shopify":{"seen":{"state":6,"shown":3,"at":4,"within":5,"read":6,"gone":7,"ref":"gid","machine":true,"echo":true},` +
		`"sent":[{},{"state":6,"decision":8,"written":9,"started":10,"deadline":11,"ended":12,"outcome":3,"point":2,"code":"C","try":2,"spent":true}]},` +
		`"hold":{"consent":13,"until":14,"customer":"c","order":15,"settled":true},` +
		`"contest":{"flips":[19,18,17],"since":20,"word":21,"row":4,"contests":1}}`
	want := consent.Record{
		Decision: consent.Decision{State: consent.Unsubscribed, At: 1, Within: 2, Side: consent.Listrak, Keyword: true},
		Hold:     consent.Hold{Consent: 13, Until: 14, Customer: "c", Order: 15, Settled: true},
		Contest:  consent.Contest{Flips: [3]consent.Instant{19, 18, 17}, Since: 20, Word: 21, Row: 4, Contests: 1},
	}
	want.Seen[consent.Shopify] = consent.Sighting{State: consent.Subscribed, Shown: 3, At: 4, Within: 5, ReadBegan: 6, GoneAt: 7, Ref: "gid",
		Machine: true, Echo: true}
	want.Sent[consent.Shopify][1] = consent.Delivery{State: consent.Subscribed, Decision: 8, Written: 9, Started: 10, Deadline: 11, Ended: 12,
		Outcome: consent.RefusedForGood, Point: consent.Checkout, Code: "C", Try: 2, Spent: true}
	got, err := decodeRecord([]byte(text))
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(want, got))
	written, err := encodeRecord(want)
	require.NoError(t, err)
	require.Equal(t, text, written)
}

func TestARecordOfANewerBuildIsNotMisread(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"v":2}`, `{"v":1,"listrak":{"sent":[{},{},{},{},{}]}}`} {
		_, err := decodeRecord([]byte(text))
		require.ErrorIs(t, err, ErrNewerSchema, text)
	}
	_, err := decodeRecord([]byte(`{"v":1,"hold":{"customer":"gid://`))
	require.ErrorContains(t, err, "restore a backup")
	require.NotContains(t, err.Error(), "gid")
}

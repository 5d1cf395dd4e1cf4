package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

func TestAPhoneListBelongsToOneMerchant(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		with := func(id string, list, sms int) ledger.Merchant {
			m := merchant(id, list)
			m.SMSURL, m.SMSList = "https://api.listrak.com/sms", sms
			return m
		}
		require.NoError(t, l.AddMerchant(t.Context(), with("acme", 1, 7), nil))
		require.ErrorIs(t, l.AddMerchant(t.Context(), with("b", 2, 7), nil), ledger.ErrSMSListTaken)
		require.ErrorIs(t, l.AddMerchant(t.Context(), with("b", 1, 7), nil), ledger.ErrListTaken)
		require.NoError(t, l.AddMerchant(t.Context(), with("b", 2, 0), nil))
		require.NoError(t, l.AddMerchant(t.Context(), with("c", 3, 0), nil), "none is not a list")
		require.ErrorIs(t, l.UpdateMerchant(t.Context(), with("b", 2, 7), ledger.MerchantUpdate{}), ledger.ErrSMSListTaken)
		require.NoError(t, l.RemoveMerchant(t.Context(), "acme"))
		b, err := l.Merchant(t.Context(), "b")
		require.NoError(t, err)
		again := with("b", 2, 7)
		again.Generation = b.Generation
		require.NoError(t, l.UpdateMerchant(t.Context(), again, ledger.MerchantUpdate{}), "a removed merchant's list is free")
		b, err = l.Merchant(t.Context(), "b")
		require.NoError(t, err)
		require.Equal(t, 7, b.SMSList)
	})
}

func TestWhoIsListed(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, _ *clock) {
		const many = 600 // more than one statement takes
		subjects := make([]consent.Subject, many)
		changes := make([]ledger.Change, many)
		for i := range subjects {
			subjects[i] = subject(i)
			changes[i] = ledger.Change{Channel: consent.SMS, Subject: subjects[i], Record: decided(consent.Subscribed, 100)}
		}
		save(t, l, changes...)
		// The same hash on the other channel is nobody's.
		save(t, l, ledger.Change{Channel: consent.Email, Subject: subjects[0], Record: decided(consent.Subscribed, 100)})
		unlisted := func(since consent.Instant) int {
			var after consent.Subject
			for total := 0; ; {
				found, err := l.Unlisted(t.Context(), acme, consent.SMS, since, after, 250)
				require.NoError(t, err)
				total += len(found)
				if len(found) < 250 {
					return total
				}
				after = found[len(found)-1].Subject
			}
		}
		require.Equal(t, many, unlisted(1))
		require.NoError(t, l.MarkListed(t.Context(), acme, consent.SMS, append(subjects[100:], subject(many+1)), 500))
		require.NoError(t, l.MarkListed(t.Context(), acme, consent.SMS, subjects[100:110], 400), "an older mark takes nothing back")
		require.Equal(t, 100, unlisted(500))
		require.Equal(t, many, unlisted(501))
		left, err := l.NotListed(t.Context(), acme, consent.SMS, append(subjects[95:105:105], subject(many+1)), 500)
		require.NoError(t, err)
		require.Equal(t, append(subjects[95:100:100], subject(many+1)), left)

		// A change of the record leaves the mark, and a mark the version.
		entry := loadOn(t, l, consent.SMS, subjects[200])
		save(t, l, ledger.Change{Channel: consent.SMS, Subject: subjects[200], Version: entry.Version, Record: decided(consent.Unsubscribed, 600)})
		require.Equal(t, 100, unlisted(500))
	})
}

func loadOn(t *testing.T, l *ledger.Ledger, channel consent.Channel, subject consent.Subject) ledger.Entry {
	t.Helper()
	entries, err := l.Load(t.Context(), acme, channel, []consent.Subject{subject})
	require.NoError(t, err)
	return entries[subject]
}

func TestUnreadablePhones(t *testing.T) {
	forEach(t, func(t *testing.T, l *ledger.Ledger, clock *clock) {
		save := func(readable []string, unreadable ...ledger.Unreadable) {
			_, err := l.Save(t.Context(), acme, ledger.Batch{Readable: readable, Unreadable: unreadable})
			require.NoError(t, err)
		}
		list := func() []ledger.Unreadable {
			found, err := l.UnreadablePhones(t.Context(), acme, 10)
			require.NoError(t, err)
			for i := range found {
				found[i].Seen = 0
			}
			return found
		}
		customer := ledger.Unreadable{Side: consent.Shopify, Ref: "gid://shopify/Customer/1", Phone: subject(1), Sealed: []byte("a")}
		contact := ledger.Unreadable{Side: consent.Listrak, Phone: subject(2), Sealed: []byte("b")}
		save([]string{customer.Ref}, customer, contact, contact)
		require.ElementsMatch(t, []ledger.Unreadable{customer, contact}, list())
		other := customer
		other.Phone, other.Sealed = subject(3), []byte("c")
		save([]string{customer.Ref}, other)
		require.ElementsMatch(t, []ledger.Unreadable{other, contact}, list(), "the customer has another one now")
		save([]string{customer.Ref, "gid://shopify/Customer/2"})
		require.Equal(t, []ledger.Unreadable{contact}, list(), "the customer was mended")

		clock.Advance(80 * 24 * consent.Hour)
		save(nil, contact)
		clock.Advance(80 * 24 * consent.Hour)
		_, err := l.PurgeExpired(t.Context())
		require.NoError(t, err)
		require.Equal(t, []ledger.Unreadable{contact}, list(), "it was shown again meanwhile")
		clock.Advance(20 * 24 * consent.Hour)
		_, err = l.PurgeExpired(t.Context())
		require.NoError(t, err)
		require.Empty(t, list(), "nobody has shown it for long")
	})
}

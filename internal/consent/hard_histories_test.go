package consent

import "testing"

// TestHardHistories keeps the histories in which an adversarial review found the rules wanting.
func TestHardHistories(t *testing.T) {
	testRows(t, []row{
		{"rule 8: a date that moved does not save a yes from an older no that is read later", []step{
			known, listrak(Subscribed, at(0)), listrak(Subscribed, at(2*Hour)), shopify(Unsubscribed, at(Hour)).read(at(3 * Hour))},
			no(Shopify, at(Hour)), Newer, Settled, Owed},
		{"rule 8: a date that moved does not beat a no that was read before it", []step{
			known, listrak(Subscribed, at(0)), shopify(Unsubscribed, at(Hour)), listrak(Subscribed, at(2*Hour))},
			no(Shopify, at(Hour)), Evidence, Settled, Owed},
		{"rule 8: an import does not save a yes from an older no that is read later", []step{
			known, shopify(Subscribed, at(0)), listrak(Subscribed, at(2*Hour)).imported(), shopify(Unsubscribed, at(Hour)).read(at(3 * Hour))},
			no(Shopify, at(Hour)), SameSide, Settled, Owed},
		{"rule 8: an import that came first does not beat an older no", []step{
			known, listrak(Subscribed, at(2*Hour)).imported(), shopify(Unsubscribed, at(Hour)).read(at(3 * Hour))},
			no(Shopify, at(Hour)), Newer, Settled, Owed},
		{"rule 13: a date that moved does not bring back a person who was erased", []step{
			shopify(Subscribed, at(0)), listrak(Subscribed, at(0)), shopify(Absent, undated).read(at(Hour)), listrak(Subscribed, at(2*Hour))},
			yes(Shopify, at(0)), Agreed, Gone, Settled},
		{"rule 17: a date that moved does not try a refusal again", []step{
			known, listrak(Subscribed, at(0)), begin(Shopify, at(Minute)), end(Shopify, at(Minute), RefusedForGood), listrak(Subscribed, at(2*Hour))},
			yes(Listrak, at(0)), Agreed, Refused, Settled},
		{"rule 3: a no that may be ours or theirs is heard while ours has no known end", []step{
			known, listrak(Subscribed, at(20*Second)), shopify(Unsubscribed, at(40*Second)), begin(Listrak, at(60*Second)),
			shopify(Subscribed, at(80*Second)), listrak(Unsubscribed, at(100*Second))},
			no(Listrak, at(100*Second)), Newer, Owed, Settled},
		{"rule 3: a frozen process that writes to Listrak late is known for our own", []step{
			known, shopify(Subscribed, at(0)), begin(Listrak, at(Minute)), listrak(Absent, undated).read(at(5 * Minute)),
			shopify(Unsubscribed, at(6*Minute)), finish{Listrak, at(Minute), at(8 * Minute), Delivered}, listrak(Subscribed, at(8*Minute))},
			no(Shopify, at(6*Minute)), Echo, Settled, Owed},
		{"rule 3: a frozen process that writes to Shopify late is known for our own", []step{
			known, listrak(Subscribed, at(10*Minute)), begin(Shopify, at(11*Minute)).writing(at(10 * Minute)),
			shopify(NeverAsked, undated).read(at(20 * Minute)), listrak(Unsubscribed, at(10*Minute-Second)).read(at(21 * Minute)),
			shopify(Subscribed, at(10*Minute)).read(at(22 * Minute))},
			no(Listrak, at(10*Minute-Second)), Echo, Owed, Settled},
		{"rule 3: a subscribe of unknown end is not pushed out by others", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(-Hour)), begin(Listrak, at(Minute)), shopify(Unsubscribed, at(70*Second)),
			begin(Listrak, at(80*Second)), begin(Listrak, at(95*Second)), begin(Listrak, at(110*Second)), begin(Listrak, at(125*Second)),
			listrak(Subscribed, at(130*Second))},
			no(Shopify, at(70*Second)), Echo, Settled, Owed},
		{"rule 3: a read that lags behind our delivery does not spend it", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(-Hour)), deliver(Listrak, at(Minute)),
			listrak(Unsubscribed, at(-Hour)).read(at(65 * Second)), listrak(Subscribed, at(Minute)).read(at(2 * Minute)),
			shopify(Unsubscribed, at(30*Second)).read(at(3 * Minute))},
			no(Shopify, at(30*Second)), SameSide, Settled, Owed},
		{"rule 10: an undated yes does not take back the same side's no", []step{known, listrak(Unsubscribed, at(0)), listrak(Subscribed, undated)},
			no(Listrak, at(0)), Behind, Owed, Owed},
		{"rule 18: a merge that shows an older yes does not take back a no", []step{known, shopify(Unsubscribed, at(0)), shopify(Subscribed, at(-1000*Hour))},
			no(Shopify, at(0)), Behind, Owed, Settled},
		{"rule 8: a person who comes back before our unsubscribe was read is heard", []step{
			known, listrak(Subscribed, at(-Hour)), shopify(Unsubscribed, at(0)), deliver(Listrak, at(Minute)), listrak(Subscribed, at(Hour))},
			yes(Listrak, at(Hour)), Newer, Owed, Settled},
		{"rule 9: a bounce in an unproven zone refuses what it may be newer than", []step{
			known, shopify(Subscribed, at(0)), deliver(Listrak, at(Minute)), listrak(Unsubscribed, at(Hour-5*Hour)).within(zoneless).machine().read(at(Hour))},
			yes(Shopify, at(0)), ByMachine, Settled, Refused},
		{"rule 9: a bounce refuses also while an attempt is open", []step{
			known, shopify(Subscribed, at(0)), begin(Listrak, at(Minute)), listrak(Unsubscribed, at(90*Second)).machine()},
			yes(Shopify, at(0)), ByMachine, Settled, Refused},
		{"rule 2: redacted is not written over while an attempt is open", []step{
			known, listrak(Subscribed, at(0)), begin(Shopify, at(Minute)).writing(at(0)), shopify(Redacted, undated).read(at(2 * Minute))},
			yes(Listrak, at(0)), NotADecision, Blocked, Settled},
	})
	h := play([]step{known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(Hour)).machine()})
	if h.rec.OverridesUnsubscribe() {
		t.Errorf("rule 14: the unsubscribe of a bounce that is newer than the decision would be overridden")
	}
	h = play([]step{known, shopify(Subscribed, at(0)), watched, lookUp(at(6 * Minute))})
	if !h.rec.Hold.Settled {
		t.Errorf("the look-up at the end of the lag does not count as the last")
	}
}

package consent

import "testing"

// TestSimulationFindings keeps the histories in which the simulation found the rules wanting, by the number of the finding. Findings 8
// and 9 (a machine whose clock is ahead, a process that is frozen after its look) are no matter of the rules: see the test of the same
// name in internal/reconcile, which also plays 1, 2, 3 and 10 with both sides.
func TestSimulationFindings(t *testing.T) {
	t.Parallel()
	// Listrak's yes, and its zone not yet proven.
	zonelessYes := all{known, listrak(Subscribed, at(0)).within(zoneless)}
	// A no in Shopify that we have delivered to Listrak, where the person was subscribed; the read after the delivery comes next.
	carried := all{known, listrak(Subscribed, at(-Hour)), shopify(Unsubscribed, at(0)), deliver(Listrak, at(Minute))}
	// The same, but nobody knows whether the call took effect; it may until 70 s plus two minutes.
	unheard := all{known, listrak(Subscribed, at(-Hour)), shopify(Unsubscribed, at(0)), begin(Listrak, at(Minute))}
	// Both sides say no, Listrak by a clock that may be 5 s off; Shopify's is the later by its date.
	bothNo := all{known, shopify(Unsubscribed, at(10*Second)), listrak(Unsubscribed, at(8*Second)).within(5 * Second)}
	wall := at(-5 * Hour)

	testRows(t, []row{
		{"1: a no of Shopify, whose clock may be 5 s off, is not older than a yes of Listrak 4 s before it", []step{
			known, listrak(Subscribed, at(0)), shopify(Unsubscribed, at(-4*Second)).within(5 * Second)},
			no(Shopify, at(-4*Second)), UnsubscribedWins, Settled, Owed},
		{"1: a no of Shopify that is older by more than both clocks may be off is older", []step{
			known, listrak(Subscribed, at(0)), shopify(Unsubscribed, at(-6*Second-1)).within(5 * Second)},
			yes(Listrak, at(0)), Behind, Owed, Settled},
		{"1: a yes of Shopify, whose clock may be 5 s off, does not beat a no of Listrak 4 s before it", []step{
			known, listrak(Unsubscribed, at(0)), shopify(Subscribed, at(4*Second)).within(5 * Second)},
			no(Listrak, at(0)), UnsubscribedWins, Owed, Settled},

		{"2: a clock that was 9 s ahead when the yes was read counts as that when a no is read by a better one", []step{
			known, listrak(Subscribed, at(9*Second)).within(9 * Second), shopify(Unsubscribed, at(0))},
			no(Shopify, at(0)), UnsubscribedWins, Settled, Owed},

		{"3: whom a full read merely did not find is met for the first time: a no nine minutes older wins", []step{
			shopify(Subscribed, at(0)), listrak(Absent, undated).inferred(), listrak(Unsubscribed, at(-9*Minute))},
			no(Listrak, at(-9*Minute)), UnsubscribedWins, Owed, Settled},
		{"3: the same in Shopify", []step{
			listrak(Subscribed, at(0)), shopify(Absent, undated).inferred(), shopify(Unsubscribed, at(-9*Minute))},
			no(Shopify, at(-9*Minute)), UnsubscribedWins, Settled, Owed},
		{"3: a yes of somebody met for the first time has to be ten minutes newer than a no", []step{
			shopify(Unsubscribed, at(0)), listrak(Absent, undated).inferred(), listrak(Subscribed, at(9*Minute))},
			no(Shopify, at(0)), UnsubscribedWins, Settled, Owed},
		{"3: who was looked up and not found is known: a no nine minutes older is older", []step{
			shopify(Subscribed, at(0)), listrak(Absent, undated), listrak(Unsubscribed, at(-9*Minute))},
			yes(Shopify, at(0)), Behind, Settled, Owed},
		{"3: who was not found by a full read, and then not by a look-up, is known", []step{
			shopify(Subscribed, at(0)), listrak(Absent, undated).inferred(), listrak(Absent, undated), listrak(Unsubscribed, at(-9*Minute))},
			yes(Shopify, at(0)), Behind, Settled, Owed},
		{"3: a full read that finds nobody makes nobody gone", []step{
			shopify(Subscribed, at(0)), listrak(Absent, undated).inferred()},
			yes(Shopify, at(0)), NotADecision, Settled, Owed},

		{"4: a no that is repeated in Listrak after our own was shown is no copy: an older yes does not beat it", []step{
			carried, listrak(Unsubscribed, at(Minute)).within(zoneless), listrak(Unsubscribed, at(10*Minute)).within(zoneless),
			shopify(Subscribed, at(5*Minute)).read(at(11 * Minute))},
			no(Listrak, at(10*Minute)), UnsubscribedWins, Owed, Settled},
		{"4: the same in the repeated hour of a clock change", []step{
			carried, listrak(Unsubscribed, at(Minute)).within(Hour), listrak(Unsubscribed, at(10*Minute)).within(Hour),
			shopify(Subscribed, at(5*Minute)).read(at(11 * Minute))},
			no(Listrak, at(10*Minute)), UnsubscribedWins, Owed, Settled},
		{"4: the date that was shown first after our no still is our copy's", []step{
			carried, listrak(Unsubscribed, at(10*Minute)).within(zoneless), shopify(Subscribed, at(5*Minute)).read(at(11 * Minute))},
			yes(Shopify, at(5*Minute)), SameSide, Settled, Owed},
		{"4: a second no of ours that moves the date is a copy too", []step{
			carried, listrak(Unsubscribed, at(Minute)).within(zoneless), deliver(Listrak, at(10*Minute)),
			listrak(Unsubscribed, at(10*Minute)).within(zoneless), shopify(Subscribed, at(5*Minute)).read(at(11 * Minute))},
			yes(Shopify, at(5*Minute)), SameSide, Settled, Owed},

		{"5: a side that takes its own no back does not take back the other's, which may be newer", []step{bothNo, shopify(Subscribed, at(12*Second))},
			no(Shopify, at(10*Second)), UnsubscribedWins, Owed, Settled},
		{"5: a yes that is newer than both noes is heard", []step{bothNo, shopify(Subscribed, at(14*Second+1))},
			yes(Shopify, at(14*Second+1)), SameSide, Settled, Owed},
		{"5: the later of two noes is the decision, so that the earlier side's yes between them is not heard", []step{
			known, shopify(Unsubscribed, at(0)), listrak(Unsubscribed, at(10*Second)).within(9 * Second), shopify(Subscribed, at(5*Second)).read(at(Minute))},
			no(Listrak, at(10*Second)), UnsubscribedWins, Owed, Settled},
		{"5: our copy of the no is no no of the other side", []step{
			carried, listrak(Unsubscribed, at(Minute)), shopify(Subscribed, at(Minute))},
			yes(Shopify, at(Minute)), SameSide, Settled, Owed},
		{"5: a bounce is no no of the other side", []step{
			known, shopify(Unsubscribed, at(0)), listrak(Unsubscribed, at(Second)).machine(), shopify(Subscribed, at(2*Second))},
			yes(Shopify, at(2*Second)), SameSide, Settled, Refused},

		{"6: a later yes that agrees within 14 hours makes the date precise: a no between the two does not beat it", []step{
			zonelessYes, shopify(Subscribed, at(2*Hour)), listrak(Unsubscribed, at(Hour))},
			yes(Shopify, at(2*Hour)), Behind, Settled, Owed},
		{"6: nor does a bounce between the two refuse it", []step{
			zonelessYes, shopify(Subscribed, at(2*Hour)), listrak(Unsubscribed, at(Hour)).machine()},
			yes(Shopify, at(2*Hour)), ByMachine, Settled, Owed},
		{"6: a later no that agrees within 14 hours is not beaten by a yes between the two", []step{
			known, listrak(Unsubscribed, at(0)).within(zoneless), shopify(Unsubscribed, at(2*Hour)), listrak(Subscribed, at(Hour))},
			no(Shopify, at(2*Hour)), Behind, Settled, Owed},
		{"6: a no after the later yes is heard", []step{
			zonelessYes, shopify(Subscribed, at(2*Hour)), listrak(Unsubscribed, at(2*Hour+2*Second))},
			no(Listrak, at(2*Hour+2*Second)), UnsubscribedWins, Owed, Settled},
		{"6: an import renews nothing", []step{known, shopify(Subscribed, at(0)), listrak(Subscribed, at(Second)).imported()},
			yes(Shopify, at(0)), Agreed, Settled, Settled},
		{"6: a date that moved renews nothing", []step{
			known, listrak(Subscribed, at(-Hour)), shopify(Subscribed, at(0)), listrak(Subscribed, at(Second))},
			yes(Shopify, at(0)), Agreed, Settled, Settled},

		{"7: an older date of the same yes takes nothing back: it stays deliverable", []step{
			known, shopify(Subscribed, at(0)), shopify(Subscribed, at(-1000*Hour))},
			yes(Shopify, at(0)), Agreed, Settled, Owed},
		{"7: an older date of the same no takes nothing back: a yes between the two is older", []step{
			known, shopify(Unsubscribed, at(0)), shopify(Unsubscribed, at(-1000*Hour)), listrak(Subscribed, at(-Hour))},
			no(Shopify, at(0)), Behind, Settled, Owed},
		{"7: an older date of the same yes does not fall behind a no that it has beaten", []step{
			known, listrak(Unsubscribed, at(0)), shopify(Subscribed, at(Hour)), shopify(Subscribed, at(-Hour)), listrak(Unsubscribed, at(0))},
			yes(Shopify, at(Hour)), NoNews, Settled, Owed},
		{"7: an undated yes takes no date back", []step{known, shopify(Subscribed, at(0)), shopify(Subscribed, undated)},
			yes(Shopify, at(0)), Agreed, Settled, Owed},
		{"7: an older date of the other state is still heard when it is a no", []step{
			known, shopify(Subscribed, at(0)), shopify(Unsubscribed, at(-1000*Hour))},
			no(Shopify, at(-1000*Hour)), SameSide, Settled, Settled},

		{"10: a zone that is corrected moves the date of our copy, and is nobody's word", []step{
			carried, listrak(Unsubscribed, at(Minute-3*Hour)).within(zoneless).wall(wall).read(at(2 * Minute)),
			listrak(Unsubscribed, at(Minute)).wall(wall).read(at(3 * Minute)), shopify(Subscribed, at(30*Second)).read(at(4 * Minute))},
			yes(Shopify, at(30*Second)), SameSide, Settled, Owed},
		{"10: a wall clock that moves is a word, though the corrected zone gives the date of before", []step{
			carried, listrak(Unsubscribed, at(Minute)).within(zoneless).wall(wall).read(at(2 * Minute)),
			listrak(Unsubscribed, at(Minute)).within(zoneless).wall(wall.Plus(3 * Hour)).read(at(3 * Minute)),
			shopify(Subscribed, at(30*Second)).read(at(4 * Minute))},
			no(Listrak, at(Minute)), UnsubscribedWins, Owed, Settled},
		{"10: a person's no that the corrected zone dates after a yes is heard", []step{
			known, listrak(Unsubscribed, at(-3*Hour)).wall(wall), shopify(Subscribed, at(-Hour)), listrak(Unsubscribed, at(0)).wall(wall)},
			no(Listrak, at(0)), Newer, Owed, Settled},
		{"10: a yes that the corrected zone dates after a no is no later word", []step{
			known, listrak(Subscribed, at(-3*Hour)).wall(wall), shopify(Unsubscribed, at(-Hour)), listrak(Subscribed, at(0)).wall(wall)},
			no(Shopify, at(-Hour)), Evidence, Settled, Owed},

		{"11: a no that may be ours or theirs is theirs when the side had shown a yes since ours was begun", []step{
			unheard, listrak(Subscribed, at(-Hour)).read(at(65 * Second)), shopify(Subscribed, at(80*Second)),
			listrak(Unsubscribed, at(100*Second)).read(at(200 * Second))},
			no(Listrak, at(100*Second)), Newer, Owed, Settled},
		{"11: the same when the yes of Shopify is read last", []step{
			unheard, listrak(Subscribed, at(-Hour)).read(at(65 * Second)), listrak(Unsubscribed, at(100*Second)).read(at(200 * Second)),
			shopify(Subscribed, at(80*Second)).read(at(201 * Second))},
			no(Shopify, at(0)), UnsubscribedWins, Owed, Settled},
		{"11: a no read while ours may be on its way is heard, whichever of the two is read first", []step{
			unheard, listrak(Unsubscribed, at(100*Second)).read(at(101 * Second)), shopify(Subscribed, at(80*Second)).read(at(102 * Second))},
			no(Shopify, at(0)), UnsubscribedWins, Owed, Settled},
		{"11: the same when we have carried a no back to the side that had said it, and showed an older yes since", []step{
			known, listrak(Unsubscribed, at(0)), listrak(Subscribed, at(-Hour)), begin(Listrak, at(Minute)),
			listrak(Unsubscribed, at(100*Second)).read(at(101 * Second)), shopify(Subscribed, at(80*Second)).read(at(102 * Second))},
			no(Listrak, at(0)), UnsubscribedWins, Owed, Settled},
		{"11: a yes after a no that may be ours or theirs is heard", []step{
			unheard, listrak(Unsubscribed, at(100*Second)).read(at(101 * Second)), shopify(Subscribed, at(103*Second))},
			yes(Shopify, at(103*Second)), SameSide, Settled, Owed},
		{"11: a no that may be ours or theirs moves no date while we agree", []step{
			unheard, listrak(Unsubscribed, at(100*Second)).read(at(101 * Second))},
			no(Shopify, at(0)), Echo, Settled, Settled},
		{"11: without a yes in between it is ours", []step{
			unheard, shopify(Subscribed, at(80*Second)), listrak(Unsubscribed, at(100*Second)).read(at(200 * Second))},
			yes(Shopify, at(80*Second)), Echo, Settled, Owed},
		{"11: a no whose end was heard is ours, though a read that lags has shown a yes since", []step{
			carried, listrak(Subscribed, at(-Hour)).read(at(65 * Second)), shopify(Subscribed, at(80*Second)),
			listrak(Unsubscribed, at(Minute)).read(at(200 * Second))},
			yes(Shopify, at(80*Second)), Echo, Settled, Owed},
	})
	steps := []step{
		known, shopify(Subscribed, at(0)).read(at(Minute)), listrak(Subscribed, at(Hour)), shopify(Subscribed, at(0)).read(at(2 * Hour)),
		shopify(Absent, 0).read(at(3 * Hour)),
	}
	if h := play(steps); h.rec.DebtTo(Shopify) != Gone {
		t.Errorf("13: who was seen there after the last word and is gone now is owed %s, want gone\n%s", h.rec.DebtTo(Shopify), h.story.String())
	}
	for name, steps := range map[string][]step{
		"7: a yes whose date was moved back": {known, listrak(Unsubscribed, at(0)), shopify(Subscribed, at(Hour)), shopify(Subscribed, at(-Hour))},
		"a yes in the very second of the no that we have carried": {
			carried, listrak(Unsubscribed, at(Minute)), shopify(Subscribed, at(0)).read(at(2 * Minute))},
	} {
		if h := play(steps); h.rec.DebtTo(Listrak) != Owed || !h.rec.OverridesUnsubscribe() {
			t.Errorf("%s would be written for ever without overriding the no that it has beaten\n%s", name, h.story.String())
		}
	}
}

package consent

import "testing"

// known is a pair of sides that were both read before and where nobody has decided anything: not a first contact any more.
var known = all{shopify(NeverAsked, undated), listrak(Absent, undated)}

// zoneless is the uncertainty of Listrak's dates until the merchant's zone is proven.
const zoneless = 14 * Hour

func TestDecide(t *testing.T) {
	t.Parallel()
	testRows(t, []row{
		// Order of reads.
		{"one loop: a read that began before the side's last recorded one is dropped", []step{
			shopify(Subscribed, at(0)).read(at(Minute)), shopify(Unsubscribed, at(Second)).read(at(Minute - 1))},
			yes(Shopify, at(0)), Stale, Settled, Owed},
		{"one loop: a read that began in the same microsecond is heard", []step{
			shopify(Subscribed, at(0)).read(at(Minute)), shopify(Unsubscribed, at(Second)).read(at(Minute))},
			no(Shopify, at(Second)), SameSide, Settled, Owed},
		{"one loop: an early read of the other side is not stale", []step{
			shopify(Subscribed, at(0)).read(at(Minute)), listrak(Absent, undated).read(at(-Minute))},
			yes(Shopify, at(0)), NotADecision, Settled, Owed},
		{"one loop: a stale read does not close an attempt", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(-Hour)).read(at(Hour)), begin(Listrak, at(Minute)),
			listrak(Subscribed, at(Minute)).read(at(2 * Minute))},
			yes(Shopify, at(0)), Stale, Settled, Owed},

		{"rule 1: Shopify says the same again", []step{
			shopify(Subscribed, at(0)), shopify(Subscribed, at(0))},
			yes(Shopify, at(0)), NoNews, Settled, Owed},
		{"rule 1: Listrak says the same again", []step{
			listrak(Unsubscribed, at(0)), listrak(Unsubscribed, at(0))},
			no(Listrak, at(0)), NoNews, Owed, Settled},
		{"rule 1: an undated opt-out that is read again keeps its first sight", []step{
			listrak(Unsubscribed, undated).read(at(0)), listrak(Unsubscribed, undated).read(at(Hour))},
			no(Listrak, at(0)), NoNews, Owed, Settled},
		{"rule 1: a date in the future that is read again keeps its first clamp", []step{
			shopify(Unsubscribed, at(Hour)).read(at(0)), shopify(Unsubscribed, at(Hour)).read(at(Minute))},
			no(Shopify, at(Second)), NoNews, Settled, Owed},
		{"rule 1: the same date with another state is news", []step{
			listrak(Subscribed, at(0)), listrak(Unsubscribed, at(0))},
			no(Listrak, at(0)), SameSide, Owed, Settled},
		{"rule 1: the same state a microsecond later is news", []step{
			shopify(Unsubscribed, at(0)), shopify(Unsubscribed, at(1))},
			no(Shopify, at(1)), SameSide, Settled, Owed},
		{"rule 1: never asked again is no news", []step{shopify(NeverAsked, undated), shopify(NeverAsked, undated)},
			nobodyKnows, NoNews, Settled, Settled},
		{"rule 1: a machine's unsubscribe that becomes a person's is news", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(Hour)).machine(), listrak(Unsubscribed, at(Hour))},
			no(Listrak, at(Hour)), Newer, Owed, Settled},

		{"rule 2: a Shopify customer who was never asked has decided nothing", []step{shopify(NeverAsked, undated)},
			nobodyKnows, NotADecision, Settled, Settled},
		{"rule 2: never asked in Shopify is behind a yes of Listrak", []step{listrak(Subscribed, at(0)), shopify(NeverAsked, undated)},
			yes(Listrak, at(0)), NotADecision, Owed, Settled},
		{"rule 2: never asked in Shopify is behind a no of Listrak", []step{listrak(Unsubscribed, at(0)), shopify(NeverAsked, undated)},
			no(Listrak, at(0)), NotADecision, Owed, Settled},
		{"rule 2: a box that is empty again takes no yes back", []step{shopify(Subscribed, at(0)), shopify(NeverAsked, at(Hour))},
			yes(Shopify, at(0)), NotADecision, Owed, Owed},
		{"rule 2: pending in Listrak is never written over", []step{shopify(Subscribed, at(0)), listrak(Pending, undated)},
			yes(Shopify, at(0)), NotADecision, Settled, Blocked},
		{"rule 2: pending in Shopify is never written over, not by a no either", []step{
			listrak(Unsubscribed, at(0)), shopify(Pending, at(Hour))},
			no(Listrak, at(0)), NotADecision, Blocked, Settled},
		{"rule 2: invalid in Shopify is never written over", []step{listrak(Subscribed, at(0)), shopify(Invalid, undated)},
			yes(Listrak, at(0)), NotADecision, Blocked, Settled},
		{"rule 2: redacted in Shopify is never written over", []step{listrak(Subscribed, at(0)), shopify(Redacted, undated)},
			yes(Listrak, at(0)), NotADecision, Blocked, Settled},
		{"rule 2: the deciding side may become pending without a new decision", []step{
			listrak(Subscribed, at(0)), listrak(Pending, at(Hour))},
			yes(Listrak, at(0)), NotADecision, Owed, Blocked},
		{"rule 2: unknown in Listrak is owed a yes", []step{shopify(Subscribed, at(0)), listrak(Absent, undated)},
			yes(Shopify, at(0)), NotADecision, Settled, Owed},
		{"rule 2: unknown in Listrak is owed no no", []step{shopify(Unsubscribed, at(0)), listrak(Absent, undated)},
			no(Shopify, at(0)), NotADecision, Settled, Settled},

		{"nobody decided before: a yes in Shopify is the decision", []step{shopify(Subscribed, at(0))},
			yes(Shopify, at(0)), First, Settled, Owed},
		{"nobody decided before: a no in Listrak is the decision", []step{known, listrak(Unsubscribed, at(0))},
			no(Listrak, at(0)), First, Owed, Settled},

		{"rule 3: Shopify shows the date that we set", []step{
			known, listrak(Subscribed, at(5*Millisecond)), deliverDated(at(Minute), at(0)), shopify(Subscribed, at(0))},
			yes(Listrak, at(5*Millisecond)), Echo, Settled, Settled},
		{"rule 3: Shopify shows the date that we set, with a fraction of a second", []step{
			known, listrak(Subscribed, at(0)), deliverDated(at(Minute), at(0)), shopify(Subscribed, at(Second-1))},
			yes(Listrak, at(0)), Echo, Settled, Settled},
		{"rule 3: a second after the date that we set is the person's own word at Shopify", []step{
			known, listrak(Subscribed, at(0)), deliverDated(at(Minute), at(0)), shopify(Subscribed, at(3*Second))},
			yes(Shopify, at(3*Second)), Newer, Settled, Settled},
		{"rule 3: another state with the date that we set is no echo", []step{
			known, listrak(Subscribed, at(0)), deliverDated(at(Minute), at(0)), shopify(Unsubscribed, at(0))},
			no(Shopify, at(0)), UnsubscribedWins, Settled, Owed},
		{"rule 3: an undated yes in Shopify is not our write, which has a date", []step{
			known, listrak(Subscribed, at(0)), deliverDated(at(Minute), at(0)), shopify(Subscribed, undated)},
			yes(Listrak, at(0)), Agreed, Settled, Settled},
		{"rule 3: Shopify's echo of a date later than the decision does not renew it", []step{
			known, listrak(Unsubscribed, at(0)), deliverDated(at(Hour), at(30*Minute)), shopify(Unsubscribed, at(30*Minute))},
			no(Listrak, at(0)), Echo, Settled, Settled},
		{"rule 3: Shopify's echo does not outrank a newer no of Listrak", []step{
			known, listrak(Subscribed, at(0)), begin(Shopify, at(Hour)).writing(at(30 * Minute)), listrak(Unsubscribed, at(10*Minute)),
			shopify(Subscribed, at(30*Minute)).read(at(Hour + Minute))},
			no(Listrak, at(10*Minute)), Echo, Owed, Settled},
		{"rule 3: Listrak dates our write itself", []step{
			known, shopify(Subscribed, at(0)), deliver(Listrak, at(Minute)), listrak(Subscribed, at(Minute+500*Millisecond))},
			yes(Shopify, at(0)), Echo, Settled, Settled},
		{"rule 3: Listrak's date at the attempt's start less the uncertainty is an echo", []step{
			known, shopify(Subscribed, at(0)), deliver(Listrak, at(Minute)), listrak(Subscribed, at(Minute-Second))},
			yes(Shopify, at(0)), Echo, Settled, Settled},
		{"rule 3: Listrak's date a microsecond before that is the person's own word", []step{
			known, shopify(Subscribed, at(0)), deliver(Listrak, at(Minute)), listrak(Subscribed, at(Minute-Second-1))},
			yes(Listrak, at(Minute-Second-1)), Newer, Settled, Settled},
		{"rule 3: Listrak's date at the attempt's end plus the uncertainty is an echo", []step{
			known, shopify(Subscribed, at(0)), deliver(Listrak, at(Minute)), listrak(Subscribed, at(Minute+2*Second))},
			yes(Shopify, at(0)), Echo, Settled, Settled},
		{"rule 3: Listrak's date a microsecond after that is the person's own word", []step{
			known, shopify(Subscribed, at(0)), deliver(Listrak, at(Minute)), listrak(Subscribed, at(Minute+2*Second+1))},
			yes(Listrak, at(Minute+2*Second+1)), Newer, Settled, Settled},
		{"rule 3: while the zone is unproven an echo may be dated hours away", []step{
			known, shopify(Subscribed, at(0)), deliver(Listrak, at(Minute)), listrak(Subscribed, at(-5*Hour)).within(zoneless)},
			yes(Shopify, at(0)), Echo, Settled, Settled},
		{"rule 3: an undated yes of Listrak after our delivery is an echo", []step{
			known, shopify(Subscribed, at(0)), deliver(Listrak, at(Minute)), listrak(Subscribed, undated)},
			yes(Shopify, at(0)), Echo, Settled, Settled},
		{"rule 3: Listrak's echo of a superseded yes does not outrank the newer no of Shopify", []step{
			known, shopify(Subscribed, at(0)), deliver(Listrak, at(Minute)), shopify(Unsubscribed, at(10*Second)).read(at(2 * Minute)),
			listrak(Subscribed, at(Minute))},
			no(Shopify, at(10*Second)), Echo, Settled, Owed},
		{"rule 3: Listrak's echo of a superseded no does not outrank the newer yes of Shopify", []step{
			known, shopify(Unsubscribed, at(0)), listrak(Subscribed, at(-Hour)), deliver(Listrak, at(Minute)),
			shopify(Subscribed, at(10*Second)).read(at(2 * Minute)), listrak(Unsubscribed, at(Minute))},
			yes(Shopify, at(10*Second)), Echo, Settled, Owed},
		{"rule 3: the echo that comes before the end was recorded closes the attempt", []step{
			known, shopify(Subscribed, at(0)), begin(Listrak, at(Minute)), listrak(Subscribed, at(Minute+Second))},
			yes(Shopify, at(0)), Echo, Settled, Settled},
		{"rule 3: the late effect of an attempt of unknown end does not subscribe whoever left since", []step{
			known, shopify(Subscribed, at(0)), begin(Listrak, at(Minute)), listrak(Unsubscribed, at(90*Second)),
			listrak(Subscribed, at(2*Minute))},
			no(Listrak, at(90*Second)), Echo, Owed, Owed},
		{"rule 3: the late effect is known also by a read long after the grace", []step{
			known, shopify(Subscribed, at(0)), begin(Listrak, at(Minute)), shopify(Unsubscribed, at(90*Second)),
			listrak(Subscribed, at(Minute+callTakes+EffectGrace)).read(at(Hour))},
			no(Shopify, at(90*Second)), Echo, Settled, Owed},
		{"rule 3: at the end of the grace plus the uncertainty it is still the late effect", []step{
			known, shopify(Subscribed, at(0)), begin(Listrak, at(Minute)), shopify(Unsubscribed, at(90*Second)),
			listrak(Subscribed, at(Minute+callTakes+EffectGrace+Second)).read(at(Hour))},
			no(Shopify, at(90*Second)), Echo, Settled, Owed},
		{"rule 3: a microsecond later the person has come back", []step{
			known, shopify(Subscribed, at(0)), begin(Listrak, at(Minute)), shopify(Unsubscribed, at(90*Second)),
			listrak(Subscribed, at(Minute+callTakes+EffectGrace+Second+1)).read(at(Hour))},
			yes(Listrak, at(Minute+callTakes+EffectGrace+Second+1)), Newer, Owed, Settled},
		{"rule 3: Shopify's late effect of an attempt of unknown end does not subscribe whoever left since", []step{
			known, listrak(Subscribed, at(0)), begin(Shopify, at(Minute)).writing(at(0)), listrak(Unsubscribed, at(90*Second)),
			shopify(Subscribed, at(0)).read(at(2 * Minute))},
			no(Listrak, at(90*Second)), Echo, Owed, Settled},
		{"rule 3: whoever comes back at Listrak after we unsubscribed and saw it is heard, although the 14 hours would explain it", []step{
			known, shopify(Subscribed, at(-Hour)), deliver(Listrak, at(15*Hour)), listrak(Subscribed, at(15*Hour)).within(zoneless),
			shopify(Unsubscribed, at(0)).read(at(16 * Hour)), deliver(Listrak, at(16*Hour+Minute)),
			listrak(Unsubscribed, at(16*Hour+Minute)).within(zoneless), listrak(Subscribed, at(20*Hour)).within(zoneless)},
			yes(Listrak, at(20*Hour)), Newer, Owed, Settled},
		{"rule 3: whoever comes back at Listrak within the attempt after leaving there is heard", []step{
			known, shopify(Subscribed, at(0)), deliver(Listrak, at(Minute)), listrak(Subscribed, at(Minute)).within(zoneless),
			listrak(Unsubscribed, at(Hour)).within(zoneless), listrak(Subscribed, at(2*Hour)).within(zoneless)},
			yes(Listrak, at(2*Hour)), SameSide, Settled, Settled},
		{"rule 3: a failed attempt explains nothing", []step{
			known, shopify(Subscribed, at(0)), begin(Listrak, at(Minute)), end(Listrak, at(Minute), Failed),
			listrak(Subscribed, at(Minute))},
			yes(Listrak, at(Minute)), Newer, Settled, Settled},
		{"rule 3: a refused attempt explains nothing", []step{
			known, shopify(Subscribed, at(0)), begin(Listrak, at(Minute)), end(Listrak, at(Minute), RefusedForGood),
			listrak(Subscribed, at(Minute))},
			yes(Listrak, at(Minute)), Newer, Settled, Settled},
		{"rule 3: a confirmed double opt-in is the person's own word, not our echo", []step{
			known, shopify(Subscribed, at(0)), begin(Listrak, at(Minute)), end(Listrak, at(Minute), AwaitingConfirmation),
			listrak(Pending, undated), listrak(Subscribed, at(Hour))},
			yes(Listrak, at(Hour)), Newer, Settled, Settled},
		{"rule 3: an attempt on the other side explains nothing here", []step{
			known, shopify(Subscribed, at(0)), deliver(Listrak, at(Minute)), shopify(Subscribed, at(Minute))},
			yes(Shopify, at(Minute)), SameSide, Settled, Owed},

		{"rule 3: nor does our own unsubscribe in between", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(-Hour)), begin(Listrak, at(30*Second)), shopify(Unsubscribed, at(40*Second)),
			listrak(Subscribed, at(60*Second)), deliver(Listrak, at(70*Second)), listrak(Unsubscribed, at(70*Second)).read(at(72 * Second)),
			listrak(Subscribed, at(100*Second))},
			no(Shopify, at(40*Second)), Echo, Settled, Owed},
		{"rule 3: a refused attempt explains nothing in Shopify either", []step{
			known, listrak(Subscribed, at(0)), begin(Shopify, at(Minute)).writing(at(0)), end(Shopify, at(Minute), RefusedForGood),
			shopify(Subscribed, at(0)).read(at(2 * Minute))},
			yes(Listrak, at(0)), Agreed, Settled, Settled},
		{"rule 3: what a frozen process wrote to Listrak is our echo also after an unsubscribe of ours", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(-Hour)), begin(Listrak, at(Minute)),
			listrak(Unsubscribed, at(-Hour)).read(at(5 * Minute)), shopify(Unsubscribed, at(6*Minute)), deliver(Listrak, at(7*Minute)),
			finish{Listrak, at(Minute), at(8 * Minute), Delivered}, listrak(Subscribed, at(8*Minute))},
			no(Shopify, at(6*Minute)), Echo, Settled, Owed},
		{"rule 3: a yes that the person said first does not hide the late effect of our own after a no", []step{
			known, listrak(Unsubscribed, at(0)), shopify(Subscribed, at(20*Second)), begin(Listrak, at(40*Second)),
			listrak(Subscribed, at(80*Second)), listrak(Unsubscribed, at(100*Second)), listrak(Subscribed, at(140*Second))},
			no(Listrak, at(100*Second)), Echo, Owed, Owed},
		{"rule 3: what a frozen process wrote to Listrak after a read had given it up is our echo, once its end is known", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(-Hour)), begin(Listrak, at(Minute)),
			listrak(Unsubscribed, at(-Hour)).read(at(5 * Minute)), shopify(Unsubscribed, at(6*Minute)),
			listrak(Unsubscribed, at(-30*Minute)).read(at(7 * Minute)), finish{Listrak, at(Minute), at(8 * Minute), Delivered},
			listrak(Subscribed, at(8*Minute))},
			no(Shopify, at(6*Minute)), Echo, Settled, Owed},
		{"rule 3: what a frozen process wrote to Shopify is our echo even if its end is never known", []step{
			known, listrak(Subscribed, at(0)), begin(Shopify, at(Minute)).writing(at(0)), shopify(NeverAsked, undated).read(at(5 * Minute)),
			shopify(Absent, undated).read(at(6 * Minute)), listrak(Unsubscribed, at(-5*Second)).read(at(7 * Minute)),
			shopify(Subscribed, at(0)).read(at(8 * Minute))},
			no(Listrak, at(-5*Second)), Echo, Owed, Settled},
		{"rule 3: unsubscribes of unknown end do not push out a subscribe of unknown end", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(-Hour)), begin(Listrak, at(Minute)), shopify(Unsubscribed, at(70*Second)),
			begin(Listrak, at(80*Second)), begin(Listrak, at(95*Second)), begin(Listrak, at(110*Second)), begin(Listrak, at(125*Second)),
			listrak(Subscribed, at(130*Second))},
			no(Shopify, at(70*Second)), Echo, Settled, Owed},
		{"rule 3: failures do not push out an attempt of unknown end", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(-Hour)), begin(Listrak, at(30*Second)), shopify(Unsubscribed, at(40*Second)),
			begin(Listrak, at(50*Second)), end(Listrak, at(50*Second), Failed), begin(Listrak, at(60*Second)),
			end(Listrak, at(60*Second), Failed), begin(Listrak, at(70*Second)), end(Listrak, at(70*Second), Failed),
			begin(Listrak, at(80*Second)), end(Listrak, at(80*Second), Failed), begin(Listrak, at(90*Second)),
			end(Listrak, at(90*Second), Failed), listrak(Subscribed, at(2*Minute))},
			no(Shopify, at(40*Second)), Echo, Settled, Owed},

		{"rule 4: Shopify's no a microsecond after its yes replaces it", []step{
			shopify(Subscribed, at(0)), shopify(Unsubscribed, at(1))},
			no(Shopify, at(1)), SameSide, Settled, Owed},
		{"rule 4: Shopify's yes a microsecond after its no replaces it, however unsure the dates", []step{
			shopify(Unsubscribed, at(0)).within(Hour), shopify(Subscribed, at(1)).within(Hour)},
			yes(Shopify, at(1)), SameSide, Settled, Owed},
		{"rule 4: Listrak's yes after its no replaces it while the zone is unproven", []step{
			listrak(Unsubscribed, at(0)).within(zoneless), listrak(Subscribed, at(Second)).within(zoneless)},
			yes(Listrak, at(Second)), SameSide, Owed, Settled},
		{"rule 4: Listrak's no after its yes replaces it while the zone is unproven", []step{
			listrak(Subscribed, at(0)).within(zoneless), listrak(Unsubscribed, at(Second)).within(zoneless)},
			no(Listrak, at(Second)), SameSide, Owed, Settled},
		{"rule 4: a renewed yes of the deciding side takes the new date", []step{
			shopify(Subscribed, at(0)), shopify(Subscribed, at(Hour))},
			yes(Shopify, at(Hour)), SameSide, Settled, Owed},

		{"rule 5: a newer Unsubscribed of the other side becomes the decision", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(Hour))},
			no(Listrak, at(Hour)), Newer, Owed, Settled},
		{"rule 5: a newer Unsubscribed of Shopify becomes the decision", []step{
			known, listrak(Subscribed, at(0)), shopify(Unsubscribed, at(Hour))},
			no(Shopify, at(Hour)), Newer, Settled, Owed},
		{"rule 5: a newer Subscribed of Shopify becomes the decision", []step{
			known, listrak(Unsubscribed, at(0)), shopify(Subscribed, at(Hour))},
			yes(Shopify, at(Hour)), Newer, Settled, Owed},
		{"rule 5: a newer Subscribed of Listrak becomes the decision", []step{
			known, shopify(Unsubscribed, at(0)), listrak(Subscribed, at(Hour))},
			yes(Listrak, at(Hour)), Newer, Owed, Settled},
		{"rule 5: a microsecond more than the uncertainty of the two is newer", []step{
			known, shopify(Unsubscribed, at(0)), listrak(Subscribed, at(2*Second+1))},
			yes(Listrak, at(2*Second+1)), Newer, Owed, Settled},
		{"rule 5: the uncertainty is the sum of both", []step{
			known, shopify(Unsubscribed, at(0)).within(3 * Second), listrak(Subscribed, at(7*Second+1)).within(4 * Second)},
			yes(Listrak, at(7*Second+1)), Newer, Owed, Settled},
		{"rule 5: the same state said newer on the other side renews the decision", []step{
			known, shopify(Subscribed, at(0)), listrak(Subscribed, at(Hour))},
			yes(Listrak, at(Hour)), Newer, Settled, Settled},
		{"rule 5: with an unproven zone a yes must be more than 14 hours newer", []step{
			known, shopify(Unsubscribed, at(0)).within(0), listrak(Subscribed, at(zoneless+1)).within(zoneless)},
			yes(Listrak, at(zoneless+1)), Newer, Owed, Settled},

		{"rule 6: exactly the uncertainty apart, Listrak's later yes loses", []step{
			known, shopify(Unsubscribed, at(0)), listrak(Subscribed, at(2*Second))},
			no(Shopify, at(0)), UnsubscribedWins, Settled, Owed},
		{"rule 6: exactly the uncertainty apart, Shopify's later yes loses", []step{
			known, listrak(Unsubscribed, at(0)), shopify(Subscribed, at(2*Second))},
			no(Listrak, at(0)), UnsubscribedWins, Owed, Settled},
		{"rule 6: exactly the uncertainty apart, Listrak's earlier no wins", []step{
			known, shopify(Subscribed, at(2*Second)), listrak(Unsubscribed, at(0))},
			no(Listrak, at(0)), UnsubscribedWins, Owed, Settled},
		{"rule 6: exactly the uncertainty apart, Shopify's earlier no wins", []step{
			known, listrak(Subscribed, at(2*Second)), shopify(Unsubscribed, at(0))},
			no(Shopify, at(0)), UnsubscribedWins, Settled, Owed},
		{"rule 6: exactly the uncertainty apart, a later no wins", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(2*Second))},
			no(Listrak, at(2*Second)), UnsubscribedWins, Owed, Settled},
		{"rule 6: at the very same moment the no wins", []step{
			known, listrak(Subscribed, at(0)), shopify(Unsubscribed, at(0))},
			no(Shopify, at(0)), UnsubscribedWins, Settled, Owed},
		{"rule 6: within the uncertainty the same state is agreement, with the later date", []step{
			known, shopify(Subscribed, at(0)), listrak(Subscribed, at(Second))},
			yes(Listrak, at(Second)), Renewed, Settled, Settled},
		{"rule 6: within the uncertainty the same state is agreement", []step{
			known, shopify(Subscribed, at(Second)), listrak(Subscribed, at(0))},
			yes(Shopify, at(Second)), Agreed, Settled, Settled},
		{"rule 6: with an unproven zone a yes 14 hours newer loses", []step{
			known, shopify(Unsubscribed, at(0)).within(0), listrak(Subscribed, at(zoneless)).within(zoneless)},
			no(Shopify, at(0)), UnsubscribedWins, Settled, Owed},
		{"rule 6: on first contact a yes ten minutes newer loses", []step{
			shopify(Unsubscribed, at(0)), listrak(Subscribed, at(FirstContact))},
			no(Shopify, at(0)), UnsubscribedWins, Settled, Owed},
		{"rule 6: on first contact a yes ten minutes and a microsecond newer wins", []step{
			shopify(Unsubscribed, at(0)), listrak(Subscribed, at(FirstContact+1))},
			yes(Listrak, at(FirstContact+1)), Newer, Owed, Settled},
		{"rule 6: on first contact a no ten minutes older wins", []step{
			listrak(Subscribed, at(FirstContact)), shopify(Unsubscribed, at(0))},
			no(Shopify, at(0)), UnsubscribedWins, Settled, Owed},
		{"rule 6: on first contact a no ten minutes and a microsecond older is behind", []step{
			listrak(Subscribed, at(FirstContact+1)), shopify(Unsubscribed, at(0))},
			yes(Listrak, at(FirstContact+1)), Behind, Owed, Settled},
		{"rule 6: on first contact an unproven zone counts for more than ten minutes", []step{
			shopify(Unsubscribed, at(0)), listrak(Subscribed, at(Hour)).within(zoneless)},
			no(Shopify, at(0)), UnsubscribedWins, Settled, Owed},
		{"rule 6: whom both sides were asked about before, a minute decides", []step{
			known, shopify(Unsubscribed, at(0)), listrak(Subscribed, at(Minute))},
			yes(Listrak, at(Minute)), Newer, Owed, Settled},
		{"rule 6: a side that we have written to is no first contact", []step{
			listrak(Unsubscribed, at(0)), deliverDated(at(10*Second), at(0)), shopify(Subscribed, at(Minute))},
			yes(Shopify, at(Minute)), Newer, Settled, Owed},

		{"rule 7: an older no of Listrak is behind", []step{known, shopify(Subscribed, at(Hour)), listrak(Unsubscribed, at(0))},
			yes(Shopify, at(Hour)), Behind, Settled, Owed},
		{"rule 7: an older yes of Listrak is behind", []step{known, shopify(Unsubscribed, at(Hour)), listrak(Subscribed, at(0))},
			no(Shopify, at(Hour)), Behind, Settled, Owed},
		{"rule 7: an older no of Shopify is behind", []step{known, listrak(Subscribed, at(Hour)), shopify(Unsubscribed, at(0))},
			yes(Listrak, at(Hour)), Behind, Owed, Settled},
		{"rule 7: an older yes of Shopify is behind", []step{known, listrak(Unsubscribed, at(Hour)), shopify(Subscribed, at(0))},
			no(Listrak, at(Hour)), Behind, Owed, Settled},
		{"rule 7: a no older by a microsecond more than the uncertainty is behind", []step{
			known, shopify(Subscribed, at(2*Second+1)), listrak(Unsubscribed, at(0))},
			yes(Shopify, at(2*Second+1)), Behind, Settled, Owed},
		{"rule 7: an older copy of the same state agrees", []step{known, shopify(Unsubscribed, at(Hour)), listrak(Unsubscribed, at(0))},
			no(Shopify, at(Hour)), Agreed, Settled, Settled},

		{"rule 8: a Listrak date that moved without a change of state does not beat Shopify's no", []step{
			known, listrak(Subscribed, at(0)), shopify(Unsubscribed, at(Hour)), listrak(Subscribed, at(2*Hour))},
			no(Shopify, at(Hour)), Evidence, Settled, Owed},
		{"rule 8: an import into Listrak does not beat Shopify's no", []step{
			known, shopify(Unsubscribed, at(0)), listrak(Subscribed, at(Hour)).imported()},
			no(Shopify, at(0)), Evidence, Settled, Owed},
		{"rule 8: an import into Listrak does not beat Listrak's own no", []step{
			known, listrak(Unsubscribed, at(0)), listrak(Subscribed, at(Hour)).imported()},
			no(Listrak, at(0)), Evidence, Owed, Owed},
		{"rule 8: a date that moves after an import does not beat Listrak's own no either", []step{
			known, listrak(Unsubscribed, at(0)), listrak(Subscribed, at(Hour)).imported(), listrak(Subscribed, at(2*Hour))},
			no(Listrak, at(0)), Evidence, Owed, Owed},
		{"rule 8: an import of somebody nobody knew is a yes without a date", []step{known, listrak(Subscribed, at(0)).imported()},
			yes(Listrak, undated), First, Owed, Settled},
		{"rule 8: a person who really comes back at Listrak is heard", []step{
			known, listrak(Unsubscribed, at(0)), listrak(Subscribed, at(Hour))},
			yes(Listrak, at(Hour)), SameSide, Owed, Settled},
		{"rule 8: an older import is only behind, nobody needs to look", []step{
			known, shopify(Unsubscribed, at(Hour)), listrak(Subscribed, at(0)).imported()},
			no(Shopify, at(Hour)), Behind, Settled, Owed},
		{"rule 8: a renewed yes in Shopify is a person's act", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(Hour)), shopify(Subscribed, at(2*Hour))},
			yes(Shopify, at(2*Hour)), Newer, Settled, Owed},
		{"rule 8: an imported no is a no", []step{known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(Hour)).imported()},
			no(Listrak, at(Hour)), Newer, Owed, Settled},

		{"rule 9: a bounce is no decision and ends the delivery as refused", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(Hour)).machine()},
			yes(Shopify, at(0)), ByMachine, Settled, Refused},
		{"rule 9: a bounce takes back no yes that was said at Listrak", []step{
			known, listrak(Subscribed, at(0)), shopify(Subscribed, at(-Hour)), listrak(Unsubscribed, at(Hour)).machine()},
			yes(Listrak, at(0)), ByMachine, Settled, Refused},
		{"rule 9: a bounce at the moment of the decision refuses it", []step{
			known, shopify(Subscribed, at(Hour)), listrak(Unsubscribed, at(Hour)).machine()},
			yes(Shopify, at(Hour)), ByMachine, Settled, Refused},
		{"rule 9: a bounce of somebody nobody knows decides nothing", []step{listrak(Unsubscribed, at(0)).machine()},
			nobodyKnows, ByMachine, Settled, Settled},
		{"rule 9: a yes newer than the bounce is delivered", []step{
			known, listrak(Unsubscribed, at(0)).machine(), shopify(Subscribed, at(Hour))},
			yes(Shopify, at(Hour)), First, Settled, Owed},
		{"rule 9: an undated bounce dates from first sight", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, undated).machine()},
			yes(Shopify, at(0)), ByMachine, Settled, Refused},
		{"rule 9: a bounce is never our echo", []step{
			known, shopify(Unsubscribed, at(0)), listrak(Subscribed, at(-Hour)), deliver(Listrak, at(Minute)),
			listrak(Unsubscribed, at(Minute)).machine()},
			no(Shopify, at(0)), ByMachine, Settled, Settled},
		{"rule 9: after a keyword opt-out an older opt-in of Shopify is shown", []step{
			known, listrak(Unsubscribed, at(Hour)).keyword(), shopify(Subscribed, at(0))},
			no(Listrak, at(Hour)), AfterKeyword, Owed, Settled},
		{"rule 9: after a keyword opt-out an opt-in of Shopify within the uncertainty is shown", []step{
			known, listrak(Unsubscribed, at(0)).keyword(), shopify(Subscribed, at(2*Second))},
			no(Listrak, at(0)), AfterKeyword, Owed, Settled},
		{"rule 9: after a keyword opt-out a newer opt-in of Shopify is heard", []step{
			known, listrak(Unsubscribed, at(0)).keyword(), shopify(Subscribed, at(2*Second+1))},
			yes(Shopify, at(2*Second+1)), Newer, Settled, Owed},
		{"rule 9: after a keyword opt-out a repeated no of Shopify agrees", []step{
			known, listrak(Unsubscribed, at(Hour)).keyword(), shopify(Unsubscribed, at(0))},
			no(Listrak, at(Hour)), Agreed, Settled, Settled},

		{"rule 10: a date later than the read is clamped to the read's end", []step{shopify(Subscribed, at(Hour)).read(at(0))},
			yes(Shopify, at(Second)), First, Settled, Owed},
		{"rule 10: a clamped yes does not beat a no that was said since", []step{
			known, shopify(Subscribed, at(5*Hour)).read(at(0)), listrak(Unsubscribed, at(Hour))},
			no(Listrak, at(Hour)), Newer, Owed, Settled},
		{"rule 10: an undated yes is older than a no of the other side", []step{
			known, shopify(Unsubscribed, at(-1000*Hour)), listrak(Subscribed, undated)},
			no(Shopify, at(-1000*Hour)), Behind, Settled, Owed},
		{"rule 10: any dated no beats an undated yes", []step{
			known, listrak(Subscribed, undated), shopify(Unsubscribed, at(-1000*Hour))},
			no(Shopify, at(-1000*Hour)), Newer, Settled, Owed},
		{"rule 10: any dated yes renews an undated yes", []step{
			known, listrak(Subscribed, undated), shopify(Subscribed, at(-1000*Hour))},
			yes(Shopify, at(-1000*Hour)), Newer, Settled, Settled},
		{"rule 10: two undated yeses agree", []step{known, listrak(Subscribed, undated), shopify(Subscribed, undated)},
			yes(Listrak, undated), Agreed, Settled, Settled},
		{"rule 10: an undated yes of somebody nobody knew is a yes", []step{known, shopify(Subscribed, undated)},
			yes(Shopify, undated), First, Settled, Owed},
		{"rule 10: an undated no dates from first sight", []step{
			known, shopify(Subscribed, at(0)), listrak(Unsubscribed, undated).read(at(Hour))},
			no(Listrak, at(Hour)), Newer, Owed, Settled},
		{"rule 10: an undated no seen before the yes was said is behind", []step{
			known, shopify(Unsubscribed, undated).read(at(0)), listrak(Subscribed, at(Hour))},
			yes(Listrak, at(Hour)), Newer, Owed, Settled},
		{"rule 10: an undated no beats an undated yes", []step{
			known, listrak(Subscribed, undated), shopify(Unsubscribed, undated).read(at(0))},
			no(Shopify, at(0)), Newer, Settled, Owed},

		{"rule 18: a new address takes the yes that Shopify shows for it", []step{shopify(Subscribed, at(0)).moved()},
			yes(Shopify, at(0)), First, Settled, Owed},
		{"rule 18: a new address takes the no that Shopify shows for it", []step{
			known, listrak(Subscribed, at(0)), shopify(Unsubscribed, at(Hour)).moved()},
			no(Shopify, at(Hour)), Newer, Settled, Owed},
		{"rule 18: a new address keeps an Unsubscribed of its own at Listrak", []step{
			known, listrak(Unsubscribed, at(0)), shopify(Subscribed, at(Hour)).moved()},
			no(Listrak, at(0)), Evidence, Owed, Settled},
		{"rule 18: a new address keeps an Unsubscribed of its own at Shopify", []step{
			known, shopify(Unsubscribed, at(0)), shopify(Subscribed, at(Hour)).moved()},
			no(Shopify, at(0)), Evidence, Owed, Settled},
		{"rule 18: a new address agrees with a Subscribed of its own, and moves no date", []step{
			known, listrak(Subscribed, at(0)), shopify(Subscribed, at(Hour)).moved()},
			yes(Listrak, at(0)), Agreed, Settled, Settled},
		{"rule 18: the yes that did not count when the address moved does not count when it is read again", []step{
			known, listrak(Unsubscribed, at(0)), shopify(Subscribed, at(Hour)).moved(), shopify(Subscribed, at(Hour))},
			no(Listrak, at(0)), NoNews, Owed, Settled},
		{"rule 18: the old address keeps its decision", []step{
			known, shopify(Subscribed, at(0)), listrak(Subscribed, at(0)), shopify(Absent, undated)},
			yes(Shopify, at(0)), NotADecision, Gone, Settled},
	})
}

func TestJudgement(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sentence string
		steps    []step
		want     Judgement
	}{
		{"a stale report changes nothing", []step{
			shopify(Subscribed, at(0)).read(at(1)), shopify(Unsubscribed, at(0)).read(at(0))}, Judgement{Verdict: Stale}},
		{"no news changes nothing", []step{shopify(Subscribed, at(0)), shopify(Subscribed, at(0))}, Judgement{Verdict: NoNews}},
		{"no news that brings another id is saved", []step{
			shopify(Subscribed, at(0)).ref("a"), shopify(Subscribed, at(0)).ref("b")}, Judgement{Verdict: NoNews, Changed: true}},
		{"no news without an id is not saved", []step{
			shopify(Subscribed, at(0)).ref("a"), shopify(Subscribed, at(0))}, Judgement{Verdict: NoNews}},
		{"no news that closes an attempt is saved", []step{
			listrak(Absent, undated), shopify(Subscribed, at(0)), begin(Listrak, at(Minute)), listrak(Absent, undated).read(at(Hour))},
			Judgement{Verdict: NoNews, Changed: true}},
		{"no news within the grace closes no attempt", []step{
			listrak(Absent, undated), shopify(Subscribed, at(0)), begin(Listrak, at(Minute)),
			listrak(Absent, undated).read(at(Minute + callTakes + EffectGrace))},
			Judgement{Verdict: NoNews}},
		{"a first decision is one", []step{shopify(Subscribed, at(0))}, Judgement{Verdict: First, Changed: true, Decided: true}},
		{"an echo decides nothing", []step{
			known, shopify(Subscribed, at(0)), deliver(Listrak, at(Minute)), listrak(Subscribed, at(Minute))},
			Judgement{Verdict: Echo, Changed: true}},
		{"a losing yes decides nothing", []step{known, shopify(Unsubscribed, at(0)), listrak(Subscribed, at(Second))},
			Judgement{Verdict: UnsubscribedWins, Changed: true}},
		{"a winning no decides", []step{known, shopify(Subscribed, at(0)), listrak(Unsubscribed, at(-Second))},
			Judgement{Verdict: UnsubscribedWins, Changed: true, Decided: true}},
		{"a date after the read's end by more than the uncertainty is counted", []step{
			shopify(Subscribed, at(2*Second+1)).read(at(0))}, Judgement{Verdict: First, Changed: true, Decided: true, Clamped: true}},
		{"a date after the read's end by the uncertainty is the clocks' difference", []step{
			shopify(Subscribed, at(2*Second)).read(at(0))}, Judgement{Verdict: First, Changed: true, Decided: true}},
		{"a machine's strange date is counted too", []step{listrak(Unsubscribed, at(Hour)).machine().read(at(0))},
			Judgement{Verdict: ByMachine, Changed: true, Clamped: true}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			t.Parallel()
			if h := play(c.steps); h.last != c.want {
				t.Errorf("%s\ngot  %+v\nwant %+v\n%s", c.sentence, h.last, c.want, h.story.String())
			}
		})
	}
}

func TestVerdictForOperator(t *testing.T) {
	t.Parallel()
	shown := map[Verdict]bool{Evidence: true, AfterKeyword: true}
	for _, v := range []Verdict{Stale, NoNews, NotADecision, ByMachine, Echo, First, SameSide, Newer, UnsubscribedWins, Agreed, Behind,
		Evidence, AfterKeyword} {
		if v.ForOperator() != shown[v] {
			t.Errorf("%s: ForOperator() = %t, want %t", v, v.ForOperator(), shown[v])
		}
	}
}

func TestIdsAreKept(t *testing.T) {
	t.Parallel()
	h := play([]step{shopify(Subscribed, at(0)).ref("gid://shopify/Customer/1"), shopify(Unsubscribed, at(Minute)),
		shopify(Absent, undated)})
	if got := h.rec.Seen[Shopify].Ref; got != "gid://shopify/Customer/1" {
		t.Errorf("the id is %q after reports without one\n%s", got, h.story.String())
	}
}

package simulation

import (
	"testing"
	"time"
)

// Seed 3854: a customer was given another address while a yes for the old one was on its way, and it overwrote the no that came along.
func TestAStrayWriteHidesAWordThatNobodyHasRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		word             word
		took, read, died time.Duration
		lost             bool
	}{
		"never read":                       {word: yes, took: 3 * time.Second, lost: true},
		"read before":                      {word: yes, took: 3 * time.Second, read: 2 * time.Second},
		"read after":                       {word: yes, took: 3 * time.Second, read: 4 * time.Second, lost: true},
		"read by a process that died then": {word: yes, took: 3 * time.Second, read: 2 * time.Second, died: 2 * time.Second, lost: true},
		"the same word":                    {word: no, took: 3 * time.Second},
		"it was there before the no":       {word: yes, took: -time.Second},
	} {
		w, err := newWorld(t.Context(), 1, newPlan(1, MinLength).scenario)
		if err != nil {
			t.Fatal(err)
		}
		reader := w.workers[0].process
		said := act{address: "bob", side: inShopify, word: no, at: w.now.Add(-time.Hour), made: w.now, counts: true, moved: true}
		l := w.watch.life("bob")
		l.acts = append(l.acts, said)
		l.strays = append(l.strays, &writeCall{life: w.watch.life("ann"), side: inShopify, word: c.word, effective: true, took: w.now.Add(c.took)})
		if c.read != 0 {
			l.seen[inShopify] = append(l.seen[inShopify], glimpse{"bob", inShopify, "UNSUBSCRIBED", w.now.Add(c.read), reader})
		}
		if c.died != 0 {
			w.watch.troubles[reader] = append(w.watch.troubles[reader], span{w.now.Add(c.died), w.now.Add(c.died)})
		}
		if lost := w.watch.mayBeLost(l, said); lost != c.lost {
			t.Errorf("%s: lost %t", name, lost)
		}
		w.close()
	}
}

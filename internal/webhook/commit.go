package webhook

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/concordsync/concord/internal/ledger"
)

const (
	// maxBatch bounds one transaction, and with it how long everybody in it waits.
	maxBatch = 500
	// pace is from the start of one transaction to the next at least. A busy door waits for it and takes more at a time, which costs the
	// machine far less than twice as many transactions; after a pause nobody waits.
	pace = 10 * time.Millisecond
	// queueLength bounds who waits for the next transactions: four seconds' worth at a thousand a second.
	queueLength = 4096
	// commitTime bounds one transaction. Who has waited for it has no time left for another one.
	commitTime = answerTime
	// tellLength bounds what waits to be told, tellers how many are told at once, tellTime how long that may take.
	tellLength = 1024
	tellers    = 8
	tellTime   = 5 * time.Second
	// keepHouse is how often what has run out is cleared away, the door is said to be open, and counts are logged.
	keepHouse = time.Minute
)

// waiting is a webhook whose request waits until it is kept.
type waiting struct {
	webhook *ledger.Webhook
	// ctx is the request's: when it has ended nobody waits any more.
	ctx context.Context
	// done takes the outcome; it has room for it, so that nobody is waited for.
	done chan string
}

// keep hands a webhook to the committer and waits until it is kept.
func (d *Door) keep(ctx context.Context, webhook *ledger.Webhook) (outcome string) {
	w := &waiting{webhook: webhook, ctx: ctx, done: make(chan string, 1)}
	select {
	case d.queue <- w:
	default:
		return outcomeFull
	}
	select {
	case outcome := <-w.done:
		return outcome
	case <-ctx.Done():
		// It may be kept all the same; then Shopify's next try is a duplicate.
		return outcomeAway
	}
}

// Run keeps, tells and clears away until ctx ends. What waits then is still kept.
func (d *Door) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	defer close(d.tell)
	for range tellers {
		work.Go(func() { d.tellAll(context.WithoutCancel(ctx)) })
	}
	var house sync.WaitGroup
	defer house.Wait()
	house.Go(func() { d.keepHouse(ctx) })
	var began time.Time
	for {
		select {
		case first := <-d.queue:
			batch := d.batch(first, began.Add(pace))
			began = time.Now()
			d.commit(context.WithoutCancel(ctx), batch)
		case <-ctx.Done():
			for {
				select {
				case first := <-d.queue:
					d.commit(context.WithoutCancel(ctx), d.batch(first, time.Time{}))
				default:
					return
				}
			}
		}
	}
}

// batch takes what else waits, and what comes until then, but for those whom nobody waits for any more: Shopify sends them again.
func (d *Door) batch(first *waiting, until time.Time) []*waiting {
	batch := make([]*waiting, 0, maxBatch)
	var over <-chan time.Time
	if wait := time.Until(until); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		over = timer.C
	}
	for next := first; ; {
		if next.ctx.Err() == nil {
			batch = append(batch, next)
		}
		if len(batch) == maxBatch {
			return batch
		}
		select {
		case next = <-d.queue:
			continue
		default:
		}
		if over == nil {
			return batch
		}
		select {
		case next = <-d.queue:
		case <-over:
			return batch
		}
	}
}

// commit keeps a batch in one transaction. One that the ledger refuses, although it is there, must not take the others with it: they are
// kept without it.
func (d *Door) commit(ctx context.Context, batch []*waiting) {
	if len(batch) == 0 {
		return
	}
	webhooks := make([]ledger.Webhook, len(batch))
	for i, w := range batch {
		webhooks[i] = *w.webhook
	}
	limited, cancel := context.WithTimeout(ctx, commitTime)
	receipts, err := d.Inbox.ReceiveWebhooks(limited, webhooks)
	cancel()
	switch {
	case err == nil:
		for i, w := range batch {
			w.done <- d.follow(w.webhook, receipts[i])
		}
	case len(batch) == 1 || away(err):
		d.Log.Debug("Webhooks were not kept", "count", len(batch), "error", err.Error())
		for _, w := range batch {
			w.done <- outcomeAway
		}
	default:
		d.commit(ctx, batch[:len(batch)/2])
		d.commit(ctx, batch[len(batch)/2:])
	}
}

// away reports whether the ledger is not to be had.
func away(err error) bool {
	for _, cause := range []error{ledger.ErrLocked, ledger.ErrGone, ledger.ErrUnreachable, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// follow has those told who wait for what a webhook said.
func (d *Door) follow(w *ledger.Webhook, receipt ledger.WebhookReceipt) (outcome string) {
	d.mu.Lock()
	d.delivered[w.Merchant] = true
	d.mu.Unlock()
	id := w.Merchant
	for _, held := range receipt.Held {
		order, created := w.Order.ID, w.Order.CreatedAt.Time()
		d.later(func(ctx context.Context) error { return d.Teller.Order(ctx, id, held, order, created) })
	}
	if receipt.Nudge {
		d.later(func(ctx context.Context) error { return d.Teller.Nudge(ctx, id) })
	}
	switch {
	case receipt.OtherBody:
		return outcomeOtherBody
	case receipt.Duplicate:
		return outcomeDuplicate
	case w.Problem != "":
		return outcomeProblem
	}
	if w.Privacy != nil {
		request := w.Privacy.ID
		d.later(func(ctx context.Context) error { return d.Teller.Privacy(ctx, id, request) })
	}
	return Kept
}

// later has it told beside the answer. When too much waits already it is left to the polls.
func (d *Door) later(tell func(context.Context) error) {
	select {
	case d.tell <- tell:
	default:
		d.counts.add("", "not told")
	}
}

func (d *Door) tellAll(ctx context.Context) {
	for tell := range d.tell {
		limited, cancel := context.WithTimeout(ctx, tellTime)
		if err := tell(limited); err != nil {
			// A window may have ended already, and what nobody was told is found by the next poll.
			d.counts.add("", "not told")
			d.Log.Debug("Nobody was told of a webhook", "error", err.Error())
		}
		cancel()
	}
}

// keepHouse says that the door is open, clears away what has run out, and logs what came, at once and then every minute.
func (d *Door) keepHouse(ctx context.Context) {
	ticker := time.NewTicker(keepHouse)
	defer ticker.Stop()
	for {
		d.tidy(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			d.report()
			return
		}
	}
}

func (d *Door) tidy(ctx context.Context) {
	d.mu.Lock()
	delivered := slices.Collect(maps.Keys(d.delivered))
	clear(d.delivered)
	d.mu.Unlock()
	if err := d.Inbox.KeepDoorOpen(ctx, delivered); err != nil && ctx.Err() == nil {
		d.Log.Warn("The door for webhooks is open, but the ledger could not be told", "error", err.Error())
		d.mu.Lock()
		for _, id := range delivered {
			d.delivered[id] = true
		}
		d.mu.Unlock()
	}
	if _, err := d.Inbox.PurgeExpired(ctx); err != nil && ctx.Err() == nil {
		// What has run out is in nobody's way; the next minute tries again.
		d.Log.Warn("What has run out could not be cleared away", "error", err.Error())
	}
	d.report()
}

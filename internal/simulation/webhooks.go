package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// Kinds of faults of webhooks.
const (
	webhookLost    fault.Kind = "webhook_lost"
	webhookDoubled fault.Kind = "webhook_doubled"
	webhookLate    fault.Kind = "webhook_late"
)

// webhooks is how the webhooks of a run fare, and who acts upon them.
type webhooks struct {
	// chance is their own, so that a run with webhooks has the same plan as without.
	chance *rand.Rand
	// lost, doubled and late are one in how many; zero for none.
	lost, doubled, late int
	sent                int64
	draining            bool
	nudged              bool
}

// listen lets the store send webhooks, in one of six runs. In the others there is no door, so that the rounds find out alone.
func (w *world) listen() {
	chance := rand.New(rand.NewPCG(w.seed, 0xd007))
	if chance.IntN(6) != 0 {
		return
	}
	w.webhooks = webhooks{chance: chance, lost: 2 + chance.IntN(30), doubled: 2 + chance.IntN(20), late: 2 + chance.IntN(10)}
	w.store.OnEvent(func(e shop.Event) {
		hook, ok := w.webhookOf(e)
		if !ok {
			return
		}
		w.sendWebhook(hook)
		if chance.IntN(w.doubled) == 0 {
			w.count(webhookDoubled)
			w.sendWebhook(hook)
		}
	})
}

// webhookOf is what the door keeps of an event (internal/webhook/payload).
func (w *world) webhookOf(e shop.Event) (ledger.Webhook, bool) {
	w.sent++
	hook := ledger.Webhook{Merchant: merchantID, ID: fmt.Sprint(w.sent), Topic: string(e.Topic), Body: []byte(e.Topic)}
	switch e.Topic {
	case shop.TopicEmailConsent, shop.TopicCustomerCreate, shop.TopicCustomerUpdate, shop.TopicCustomerDelete:
		hook.Customers = []string{string(e.Customer.ID)}
	case shop.TopicCustomerMerge:
		hook.Customers = []string{string(e.Customer.ID), string(e.Merged)}
	case shop.TopicOrderCreate:
		order := &ledger.Order{
			ID: string(e.Order.ID), Customer: string(e.Order.CustomerID), CreatedAt: consent.InstantOf(e.Order.CreatedAt),
			Until: consent.InstantOf(w.now.Add(15 * time.Minute)),
		}
		if address, err := consent.NormaliseEmail(e.Order.Email); err == nil {
			order.Email = consent.SubjectOf(openKeys{}.SubjectKey(), merchantID, consent.Email, address)
		}
		hook.Order = order
	default:
		return ledger.Webhook{}, false
	}
	return hook, true
}

// sendWebhook lets a webhook arrive, some time later or never.
func (w *world) sendWebhook(hook ledger.Webhook) {
	span := 50*time.Millisecond + time.Duration(w.chance.Int64N(int64(3*time.Second)))
	switch {
	case w.chance.IntN(w.lost) == 0:
		w.count(webhookLost)
		return
	case w.chance.IntN(w.late) == 0:
		w.count(webhookLate)
		span += time.Duration(w.chance.Int64N(int64(20 * time.Minute)))
	}
	w.after(span, func() { w.receiveWebhook(hook) })
}

// receiveWebhook is the door: it keeps the webhook, and tells whoever has to know.
func (w *world) receiveWebhook(hook ledger.Webhook) {
	receipts, err := w.book.ReceiveWebhooks(w.context, []ledger.Webhook{hook})
	if err != nil {
		w.watch.failed(err)
		return
	}
	w.memory.forgetHints()
	for _, held := range receipts[0].Held {
		if key := (window{held.Hold.Customer, held.Hold.Consent}); w.windows[key] {
			w.after(time.Duration(w.chance.IntN(1000))*time.Millisecond, func() { w.wakeWindow(key, hook.Order, 2) })
		} else {
			nudge, err := w.book.Hint(w.context, merchantID, held.Hold.Customer)
			w.memory.forgetHints()
			w.watch.failed(err)
			if nudge {
				w.nudge()
			}
		}
	}
	if receipts[0].Nudge {
		w.nudge()
	}
}

// nudge is the workflow's part of a drain: one at a time.
func (w *world) nudge() {
	w.nudged = true
	if w.draining {
		return
	}
	one := w.anyone()
	if one == nil {
		return // the rounds read what waits
	}
	w.nudged, w.draining = false, true
	var result reconcile.DrainResult
	var err error
	done := false
	w.spawn(one.process, func() { result, err = one.engine.Drain(w.context, merchantID) }, func() {
		if done {
			return
		}
		done, w.draining = true, false
		w.watch.failed(err)
		for _, held := range result.Windows {
			w.openWindow(held)
		}
		if err == nil && result.More || w.nudged {
			w.nudge()
		}
	})
	// A process that dies takes its drain with it.
	w.aside(w.now.Add(6*time.Minute), func() {
		if !done && !one.alive {
			done, w.draining = true, false
		}
	})
}

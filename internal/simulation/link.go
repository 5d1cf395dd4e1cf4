package simulation

import (
	"context"
	"net/http"
	"time"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/shopify"
)

// lateEffect is a time-out whose write takes effect only after the caller has given up: at the latest two minutes after the deadline,
// which is what the rules reckon with.
const lateEffect fault.Kind = "late_effect"

// effectGrace is until when after its deadline a write may take effect, by the rules' text.
const effectGrace = 2 * time.Minute

// longest is how many seconds an answer is held up at most.
const longest = 15

// link is the way from a process to one side: what a network and a server do to a call.
type link struct {
	world   *world
	side    side
	process *process
	// sms: it leads to Listrak's SMS API.
	sms bool
	// events: it serves events, which have no part in what the watch knows of consent.
	events bool
	faults *fault.Injector
	// callTimeout bounds calls that bring no deadline of their own.
	callTimeout time.Duration
}

// exchange makes one call. Effect is called once for each item that the side really takes; a read has one. The error is that of the
// whole call and is classified as the adapters of internal/shopify and internal/listrak classify it.
func (l *link) exchange(ctx context.Context, operation string, write bool, items int, effect func(item int)) error {
	w := l.world
	if w.current.dead {
		return errDead
	}
	if err := ctx.Err(); err != nil {
		return l.fail(operation, "TIMEOUT", false)
	}
	deadline := w.deadline(ctx, l.callTimeout)
	rule, struck := l.faults.Next(operation)
	if struck {
		w.count(fault.Kind(rule.Kind))
	}
	outward, homeward := w.latency(), w.latency()
	if err := w.pause(outward); err != nil {
		return err
	}
	if write && w.now.After(deadline) && w.random.IntN(2) == 0 {
		// The process was frozen before its request left, and its time-out came first.
		return l.fail(operation, "TIMEOUT", true)
	}
	var seen []glimpse
	all := func(upTo int) {
		w.watch.glimpses = w.watch.glimpses[:0]
		for item := range upTo {
			effect(item)
		}
		seen = append(seen, w.watch.glimpses...)
	}
	part := items
	if struck && items > 1 {
		part = w.random.IntN(items + 1)
	}
	switch {
	case !struck:
		all(items)
	case rule.Kind == fault.Throttled, rule.Kind == fault.TooManyRequests, rule.Kind == fault.ServerError, rule.Kind == fault.HTMLError:
		return l.answer(operation, rule.Kind, write)
	case rule.Kind == fault.ErrorAfter:
		all(part)
		return l.answer(operation, rule.Kind, write)
	case rule.Kind == fault.TimeoutBefore, rule.Kind == fault.TimeoutAfter, rule.Kind == lateEffect:
		if rule.Kind == fault.TimeoutAfter {
			all(part)
		}
		if rule.Kind == lateEffect && write {
			w.at(deadline.Add(time.Duration(w.random.Int64N(int64(effectGrace)))), func() { all(part) })
		}
		if err := w.pause(deadline.Sub(w.now)); err != nil {
			return err
		}
		return l.fail(operation, "TIMEOUT", write)
	default: // fault.Latency
		if !l.events {
			w.watch.heldUp[l.side] = append(w.watch.heldUp[l.side], w.now)
		}
		if err := w.pause(time.Duration(1+w.random.IntN(longest)) * time.Second); err != nil {
			return err
		}
		all(items)
	}
	if err := w.pause(homeward); err != nil {
		return err
	}
	if w.now.After(deadline) {
		return l.fail(operation, "TIMEOUT", write)
	}
	w.watch.arrived(seen)
	return nil
}

func (l *link) fail(operation, code string, maybeDone bool) error {
	if !l.events {
		l.world.watch.lookedUp(l.process, l.side, "")
	}
	return &failure.Error{Class: failure.Retry, Op: operation, Code: code, MaybeDone: maybeDone}
}

// answer is what the client of the side makes of the answer with which the sandbox's server fails a call.
func (l *link) answer(operation string, kind fault.Kind, write bool) error {
	if !l.events {
		l.world.watch.lookedUp(l.process, l.side, "")
	}
	if l.side == inListrak {
		refusal := listrak.Refusal
		if l.sms {
			refusal = listrak.SMSRefusal
		}
		switch kind {
		case fault.TooManyRequests, fault.Throttled:
			return refusal(operation, http.StatusTooManyRequests, list.CodeTooManyRequests, write)
		case fault.HTMLError:
			return refusal(operation, http.StatusBadGateway, "", write)
		case fault.ErrorAfter:
			return refusal(operation, http.StatusInternalServerError, list.CodeUnhandled, write)
		default: // fault.ServerError
			return refusal(operation, http.StatusServiceUnavailable, list.CodeUnhandled, write)
		}
	}
	switch kind {
	case fault.Throttled:
		return shopify.FieldError(operation, shopify.CodeThrottled, "Throttled", write)
	case fault.TooManyRequests:
		return shopify.StatusError(operation, http.StatusTooManyRequests, write)
	case fault.HTMLError:
		return shopify.StatusError(operation, http.StatusBadGateway, write)
	case fault.ErrorAfter:
		return shopify.StatusError(operation, http.StatusInternalServerError, write)
	default: // fault.ServerError
		return shopify.StatusError(operation, http.StatusServiceUnavailable, write)
	}
}

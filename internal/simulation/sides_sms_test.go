package simulation

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
)

func phoneContact(phone string) question {
	return func(ctx context.Context, tw *twin) (any, error) {
		c, found, err := tw.sms.Contact(ctx, phone)
		return struct {
			Contact listrak.SMSContact
			Found   bool
		}{c, found}, err
	}
}

func phonePage(since time.Time, cursor string) question {
	return func(ctx context.Context, tw *twin) (any, error) {
		return tw.sms.Subscribers(ctx, listrak.SMSQuery{Since: since, Cursor: cursor})
	}
}

func optOuts(since time.Time, cursor string) question {
	return func(ctx context.Context, tw *twin) (any, error) {
		return tw.sms.OptOuts(ctx, listrak.SMSQuery{Since: since, Cursor: cursor})
	}
}

func subscribePhone(phone string, options listrak.SMSSubscribeOptions) question {
	return func(ctx context.Context, tw *twin) (any, error) { return tw.sms.Subscribe(ctx, phone, options) }
}

func unsubscribePhone(phone string, of int) question {
	return func(ctx context.Context, tw *twin) (any, error) { return tw.sms.Unsubscribe(ctx, phone, of) }
}

func optOutPhone(phone string) question {
	return func(ctx context.Context, tw *twin) (any, error) { return tw.sms.OptOut(ctx, phone) }
}

// TestSidesSMSFaults strikes every call to a sender code, and each of those of which a question is made.
func TestSidesSMSFaults(t *testing.T) {
	t.Parallel()
	for _, kind := range faults {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := newSides(t, setting{})
			const ann, bob = "+14155550001", "+14155550002"
			s.prepare(func(tw *twin) error { return tw.code.Subscribe(smsList, ann, noon.Add(-time.Hour)) })
			s.ask("a token", phoneContact(ann))
			for operation, call := range map[string]question{
				"GET Contacts": phonePage(time.Time{}, ""), "GET OptOuts": optOuts(time.Time{}, ""), "GET Contact": phoneContact(ann),
				"GET Subscriptions": phoneContact(ann), "POST Contact": subscribePhone(bob, listrak.SMSSubscribeOptions{}),
				"POST Subscription": subscribePhone(ann, listrak.SMSSubscribeOptions{Known: true}), "DELETE Subscription": unsubscribePhone(ann, 0),
				"PUT Contact": optOutPhone(ann),
			} {
				s.prepare(func(tw *twin) error {
					tw.code.Faults.Set(1, fault.Rule{Operation: operation, Kind: kind, Times: 1})
					return nil
				})
				if kind == fault.TimeoutBefore || kind == fault.TimeoutAfter {
					s.hung = make(chan struct{}, 1)
				}
				what := fmt.Sprintf("%s at %s", kind, operation)
				got, bare := s.both(what, call)
				s.hung = nil
				if kind == fault.Latency {
					got.Value, bare.Value = nil, nil
				}
				if diff := cmp.Diff(got, bare, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s: the simulation answers (+) otherwise than the client gets from the server (-):\n%s", what, diff)
				}
				if kind == fault.Latency {
					continue
				}
				s.compare(what)
				if got.Err.Class == 0 {
					t.Errorf("%s: both answer %+v, want a failure", what, got)
				}
				s.ask("without a fault: "+operation, call)
			}
		})
	}
}

// TestSidesSMSAnyHistory plays random acts of people, and calls, on a sender code of any behaviour.
func TestSidesSMSAnyHistory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		one := func(name string) bool { return rapid.Bool().Draw(t, name) }
		s := newSides(t, setting{
			at:   rapid.SampledFrom([]time.Time{noon, time.Date(2026, 11, 1, 5, 30, 0, 0, time.UTC), time.Date(2026, 3, 8, 6, 30, 0, 0, time.UTC)}).Draw(t, "start"),
			zone: rapid.SampledFrom([]string{"America/New_York", "Europe/Berlin"}).Draw(t, "zone"),
			list: list.Config{DoubleOptIn: one("double opt-in"), ClockSkew: time.Duration(rapid.IntRange(-9, 9).Draw(t, "skew")) * 700 * time.Millisecond},
			sms: list.SenderCodeConfig{
				SameState:         rapid.SampledFrom([]list.SameState{list.MovesDates, list.AnswersError, list.KeepsDates}).Draw(t, "same state"),
				OptedOut:          rapid.SampledFrom([]list.OptedOutAnswer{list.RefusesBanned, list.RefusesSuspended, list.StaysOut, list.OptsIn}).Draw(t, "opted out"),
				Spelling:          rapid.SampledFrom([]list.PhoneSpelling{list.PlusDigits, list.OnlyDigits, list.NationalDigits}).Draw(t, "spelling"),
				OptOutLeavesLists: one("opt-out leaves lists"), StartKeepsDates: one("start keeps dates"), HidesOptOutDate: one("hides opt-out date"),
				OnlySubscribed: one("only subscribed"), UnpagedOptOuts: one("unpaged opt-outs"), NumberedReasons: one("numbered reasons"),
				Missing404: one("missing 404"), LowerStates: one("lower states"),
			},
		})
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			s.smsStep(t)
		}
	})
}

// smsStep is one random act or call.
func (s *sides) smsStep(t *rapid.T) {
	phone := rapid.SampledFrom([]string{"+14155550001", "+14155550002", "+14155550003", "14155550001", "415", "no number", ""}).Draw(t, "phone")
	of := rapid.SampledFrom([]int{0, smsList, smsCheckout, 99}).Draw(t, "list")
	at := s.time.Now().Add(time.Duration(rapid.IntRange(-400, 0).Draw(t, "at")) * 500 * time.Millisecond)
	into := max(of, smsList)
	act := func(what string, do func(*list.SenderCode) error) {
		s.act(fmt.Sprintf("%q %s (list %d, %s)", phone, what, into, at), func(tw *twin) error { return do(tw.code) })
	}
	switch rapid.IntRange(0, 15).Draw(t, "step") {
	case 0, 1:
		s.later(time.Duration(rapid.SampledFrom([]int{7, 999, 1000, 30_000, 61_000, 1_800_000}).Draw(t, "span")) * time.Millisecond)
	case 2, 3:
		act("subscribes", func(c *list.SenderCode) error { return c.Subscribe(into, phone, at) })
	case 4:
		act("leaves", func(c *list.SenderCode) error { return c.Unsubscribe(into, phone, at) })
	case 5:
		reason := rapid.SampledFrom([]list.OptOutReason{list.OptOutCampaign, list.OptOutImport, list.OptOutPermanentError}).Draw(t, "reason")
		act("is opted out by "+string(reason), func(c *list.SenderCode) error { return c.OptOut(phone, at, reason) })
	case 6:
		act("starts", func(c *list.SenderCode) error { return c.Start(phone, at) })
	case 7:
		what := rapid.IntRange(0, 3).Draw(t, "what")
		act(fmt.Sprintf("is confirmed, deleted, imported or refused: %d", what), func(c *list.SenderCode) error {
			switch what {
			case 0:
				return c.Confirm(into, phone)
			case 1:
				return c.Delete(phone)
			case 2:
				_, err := c.Import(into, []string{phone}, at)
				return err
			}
			return c.Refuse(phone, list.PhoneSuspended)
		})
	case 8, 9:
		s.ask(fmt.Sprintf("contact %q", phone), phoneContact(phone))
	case 10:
		s.ask(fmt.Sprintf("subscribers since %s", at), phonePage(at, ""))
	case 11:
		s.ask(fmt.Sprintf("opt-outs since %s", at), optOuts(at, ""))
	case 12:
		cursor := rapid.SampledFrom([]string{"", "nonsense"}).Draw(t, "cursor")
		s.ask("all opt-outs", optOuts(time.Time{}, ""))
		s.ask("all subscribers", phonePage(time.Time{}, cursor))
	case 13:
		options := listrak.SMSSubscribeOptions{Known: rapid.Bool().Draw(t, "known"), List: of}
		s.ask(fmt.Sprintf("subscribe %q with %+v", phone, options), subscribePhone(phone, options))
	case 14:
		s.ask(fmt.Sprintf("unsubscribe %q from %d", phone, of), unsubscribePhone(phone, of))
	case 15:
		s.ask(fmt.Sprintf("opt %q out", phone), optOutPhone(phone))
	}
}

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
)

// Kinds of runs of which a merchant has one at a time.
const (
	RoundRun ledger.RunKind = "round"
	FullRun  ledger.RunKind = "full"
	// FullSMSRun is FullRun for SMS: the two channels are read side by side.
	FullSMSRun ledger.RunKind = "full_sms"
	DrainRun   ledger.RunKind = "drain"
)

// missing names the last step of a full read: whoever was not seen in Shopify is not there.
const missing = "missing"

// FullProgress is how far a full read has come.
type FullProgress struct {
	Done bool `json:"done"`
	// Step names what is being read.
	Step string `json:"step"`
	// Read counts the people looked at so far.
	Read int64 `json:"read"`
}

// ErrNotRunning: the merchant is paused, stopped or removed, so nobody may be called for it.
var ErrNotRunning = errors.New("the merchant is not running")

// FullRead reads a channel of both sides completely, a slice of a round's length at a time, and goes on from its cursors. It writes to
// neither side. The rounds' watermarks are set to its beginning first, so that nothing between the two is missed.
func (e *Engine) FullRead(ctx context.Context, merchant string, channel consent.Channel, progress func(FullProgress)) (FullProgress, error) {
	ctx, r, err := e.begin(ctx, merchant)
	if err != nil {
		return FullProgress{}, err
	}
	kind := FullRun
	if channel == consent.SMS {
		kind = FullSMSRun
		if r.account.SMS == nil {
			return FullProgress{}, errNoSMS
		}
	}
	s := r.of(channel)
	if s.switches.State != ledger.Running {
		return FullProgress{}, ErrNotRunning
	}
	end, err := s.acquire(ctx, kind)
	if err != nil {
		return FullProgress{}, err
	}
	defer end()
	sources := s.listrakSources()
	steps := []struct {
		name string
		run  func() (bool, error)
	}{
		{"Listrak's unsubscribed contacts", func() (bool, error) { return s.fullListrak(ctx, sources[0]) }},
		{"Listrak's subscribed contacts", func() (bool, error) { return s.fullListrak(ctx, sources[1]) }},
		{"Shopify's customers", func() (bool, error) { return s.fullShopify(ctx) }},
		{"who is on one side only", func() (bool, error) { return s.fullMissing(ctx) }},
	}
	if err := s.startWatermarks(ctx); err != nil {
		return FullProgress{}, err
	}
	for _, step := range steps {
		progress(FullProgress{Step: step.name, Read: s.stats.Scanned})
		done, err := step.run()
		if err != nil {
			return FullProgress{}, fmt.Errorf("read %s: %w", step.name, err)
		}
		if !done {
			return FullProgress{Step: step.name, Read: s.stats.Scanned}, nil
		}
	}
	return FullProgress{Done: true, Read: s.stats.Scanned}, nil
}

// FullReadDone reports whether a full read of a channel has come to its end, and none is needed again.
func (e *Engine) FullReadDone(ctx context.Context, merchant string, channel consent.Channel) (bool, error) {
	switches, err := e.records().Switches(ctx, merchant)
	if err != nil {
		return false, fmt.Errorf("read switches: %w", err)
	}
	s := e.newRun(merchant, nil, switches).of(channel)
	p, _, err := s.loadPass(ctx, s.fullName(missing))
	if err != nil || !p.Done {
		return false, err
	}
	for _, name := range s.listrakNames() {
		if p, _, err = s.loadPass(ctx, fullPrefix+name); err != nil || s.readForPreview(p) {
			return false, err
		}
	}
	return true, nil
}

// listrakNames are the cursors of listrakSources.
func (s *session) listrakNames() [2]string {
	if s.channel == consent.SMS {
		return [2]string{smsOptedOut, smsSubscribed}
	}
	return [2]string{listrakUnsubscribed, listrakSubscribed}
}

// fullName is the cursor of a step of the channel's full read that both channels have.
func (s *session) fullName(step string) string {
	if s.channel == consent.SMS {
		return fullPrefix + smsPrefix + step
	}
	return fullPrefix + step
}

// readForPreview reports whether a pass over Listrak's contacts ended before the direction to Shopify was on for the first time. Such
// a pass kept no address, since nothing could be delivered. Reading the contacts again brings 5,000 addresses a call, asking for
// them one by one a single one.
func (s *session) readForPreview(p pass) bool {
	toShopify := s.switches.Syncs[s.to(consent.Shopify)]
	return p.Done && toShopify.On && p.Since.Before(toShopify.FirstOn.Time())
}

// startWatermarks lets the rounds begin where the full read begins, unless they have begun already.
func (s *session) startWatermarks(ctx context.Context) error {
	names := s.listrakNames()
	for _, name := range append(names[:], shopifyChanges) {
		_, known, err := s.loadPass(ctx, name)
		if err != nil {
			return err
		}
		if !known {
			if err := s.savePass(ctx, name, pass{Since: s.now().Time()}, customersRead{}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) fullListrak(ctx context.Context, src source) (bool, error) {
	src = src.whole()
	p, _, err := s.loadPass(ctx, src.cursor)
	if err != nil {
		return false, err
	}
	if s.readForPreview(p) {
		if err := s.savePass(ctx, src.cursor, pass{}, customersRead{}); err != nil {
			return false, err
		}
	}
	return s.scan(ctx, src)
}

func (s *session) fullShopify(ctx context.Context) (bool, error) {
	channels, err := s.observed(ctx)
	if err != nil {
		return false, err
	}
	if !slices.Contains(channels, s) {
		channels = append(channels, s)
	}
	// Customers who were read for the other channel alone have not been read for this one; either may be the merchant's first.
	all := s.account.SMS != nil
	return s.scan(ctx, source{cursor: s.fullName(shopifyChanges), full: true, page: func(ctx context.Context, from reach, cursor string) (page, error) {
		return s.scanShopify(ctx, from.since, cursor, channels, all)
	}})
}

// missingPage is how many subjects one step of fullMissing looks at.
const missingPage = 2000

// fullMissing records that people whom the full read did not find on a side are absent there. Without it every old unsubscribe of
// one side would cost a look-up on the other.
func (s *session) fullMissing(ctx context.Context) (bool, error) {
	shopifyRead, _, err := s.loadPass(ctx, s.fullName(shopifyChanges))
	if err != nil {
		return false, err
	}
	listrakRead, _, err := s.loadPass(ctx, fullPrefix+s.listrakNames()[1])
	if err != nil {
		return false, err
	}
	// A pass that is done has its beginning for a watermark.
	began := [2]consent.Instant{
		consent.Shopify: consent.InstantOf(shopifyRead.Since), consent.Listrak: consent.InstantOf(listrakRead.Since),
	}
	return s.scan(ctx, source{cursor: s.fullName(missing), full: true,
		page: func(ctx context.Context, _ reach, cursor string) (page, error) {
			var after consent.Subject
			if cursor != "" {
				if after, err = consent.SubjectFromHex(cursor); err != nil {
					return page{}, fmt.Errorf("read cursor: %w", err)
				}
			}
			found, err := s.records().Scan(ctx, s.merchant, s.channel, after, missingPage)
			if err != nil {
				return page{}, fmt.Errorf("read records: %w", err)
			}
			var sightings []sighting
			for _, f := range found {
				for _, side := range consent.Sides {
					if f.Record.Seen[side].State == consent.Unseen {
						missed := absent(side, f.Subject, "", read{began[side], began[side]})
						missed.report.Inferred = true
						sightings = append(sightings, missed)
					}
				}
			}
			if _, err := s.observe(ctx, sightings); err != nil {
				return page{}, err
			}
			if len(found) < missingPage {
				return page{rows: len(found)}, nil
			}
			return page{next: found[len(found)-1].Subject.Hex(), rows: len(found)}, nil
		}})
}

// Preview counts what enabling a direction would do, as far as the ledger knows after a full read.
type Preview struct {
	// Create, Subscribe and Unsubscribe are writes; Leave counts people who stay as they are.
	Create, Subscribe, Unsubscribe, Leave int64
	// Resubscribe counts those of Subscribe who are unsubscribed there now: they are under the limit of 24 hours (I10).
	Resubscribe int64
	// ExistingOptOuts counts people subscribed in Listrak whose unsubscribe in Shopify is older than the direction (rule 11).
	ExistingOptOuts int64
}

// Preview walks through every record of the sync's channel; it calls neither side.
func (e *Engine) Preview(ctx context.Context, merchant string, sync consent.Sync) (Preview, error) {
	to := sync.To()
	var preview Preview
	switches, err := e.records().Switches(ctx, merchant)
	if err != nil {
		return Preview{}, fmt.Errorf("read switches: %w", err)
	}
	permit := PermitOf(switches, sync)
	if permit.FirstOn == 0 && to == consent.Shopify {
		permit.FirstOn = 1
	}
	var after consent.Subject
	for {
		found, err := e.records().Scan(ctx, merchant, sync.Channel(), after, missingPage)
		if err != nil {
			return Preview{}, fmt.Errorf("read records: %w", err)
		}
		for _, f := range found {
			rec := &f.Record
			owed := rec.DebtTo(to) == consent.Owed
			switch {
			case owed && to == consent.Listrak && rec.Decision.State == consent.Unsubscribed &&
				(permit.FirstOn == 0 || rec.Decision.At < permit.FirstOn):
				preview.ExistingOptOuts++
			case !owed || !permit.Covers(rec.Decision, to):
				preview.Leave++
			case rec.Decision.State == consent.Unsubscribed:
				preview.Unsubscribe++
			case rec.Seen[to].State == consent.Absent:
				preview.Create++
			default:
				preview.Subscribe++
				if rec.Resubscribes(to) {
					preview.Resubscribe++
				}
			}
		}
		if len(found) < missingPage {
			return preview, nil
		}
		after = found[len(found)-1].Subject
	}
}

// ForgetList forgets what Listrak showed and was sent on a channel, for a merchant who has been given another list: its reports start
// anew, the decisions stay. The merchant must be paused, and a call that was cut short is simply made again.
func (e *Engine) ForgetList(ctx context.Context, merchant string, channel consent.Channel) error {
	switches, err := e.records().Switches(ctx, merchant)
	if err != nil {
		return fmt.Errorf("read switches: %w", err)
	}
	account, err := e.Connect(ctx, merchant)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	s := e.newRun(merchant, account, switches).of(channel)
	var after consent.Subject
	for {
		found, err := e.records().Scan(ctx, merchant, channel, after, missingPage)
		if err != nil {
			return fmt.Errorf("read records: %w", err)
		}
		revisions := make([]revision, len(found))
		for i, f := range found {
			revisions[i] = revision{subject: f.Subject, apply: func(rec consent.Record) (consent.Record, []ledger.Line) {
				return rec.Forget(consent.Listrak), nil
			}}
		}
		if _, err := s.revise(ctx, revisions); err != nil {
			return err
		}
		if len(found) < missingPage {
			return nil
		}
		after = found[len(found)-1].Subject
	}
}

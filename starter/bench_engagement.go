package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// What is promised of a campaign (issue 6).
const (
	eventsVisible   = 2 * time.Minute
	eventsMegabytes = 256
	// eventsLeast and eventsMost are the parts of the points that events use when no consent waits, and while one does.
	eventsLeast, eventsMost = 0.9, 0.5
	// eventsLatency is by how much consent may take longer.
	eventsLatency = 1.1
)

func newBenchEngagementCommand(a *app) *cobra.Command {
	var recipients int
	var length time.Duration
	c := &cobra.Command{
		Use: "engagement", Short: "Measure how a campaign's events reach Shopify beside consent", Args: arguments(0, 0),
		Long: `Sends a message to many customers in a sandbox of both sides, of whom 30 % open it and 5 % click, and carries the events to a store on a
Standard plan (100 points a second) over a throw-away ledger in a file: real HTTP, no Temporal. It shows how soon the message's totals were
complete in Shopify, which part of the API points the customers' fields took while no consent waited and while many did, how long a consent
took before, and meanwhile, and how much memory it needed beside the sandbox. It does not wait until every customer is written, which takes
as long as the points do.

Exits with 0 when the totals were complete within two minutes, the fields took at least 90 % of the points when no consent waited and at
most 50 % while many did, consents took at most 10 % longer, and memory stayed below 256 MB; else with 1.`,
		Example: "  starter bench engagement\n  starter bench engagement --recipients 10000 --for 20s",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case recipients < 1000 || recipients > 1_000_000:
				return usageError("--recipients must be from 1000 to 1000000")
			case length < 10*time.Second || length > time.Hour:
				return usageError("--for must be from 10s to 1h")
			}
			return a.benchEngagement(cmd.Context(), recipients, length)
		},
	}
	c.Flags().IntVar(&recipients, "recipients", 100_000, "to how many customers the message is sent")
	c.Flags().DurationVar(&length, "for", time.Minute, "how long each of the measurements lasts")
	return c
}

// engagementBench is a merchant whose events are carried.
type engagementBench struct {
	sandbox *sandbox.Sandbox
	shop    *shop.Store
	list    *list.Store
	host    *host.Host
	// consents numbers those who subscribe.
	consents int
}

func (a *app) benchEngagement(ctx context.Context, recipients int, length time.Duration) (err error) {
	directory, err := os.MkdirTemp("", "concord-bench-")
	if err != nil {
		return fmt.Errorf("make a directory for the bench: %w", err)
	}
	defer func() { _ = os.RemoveAll(directory) }() // what remains is in the system's temporary directory
	b, err := newEngagementBench(ctx, directory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	a.note("Making %s customers", grouped(uint64(recipients)))
	if err := b.customers(ctx, recipients); err != nil {
		return err
	}
	v := &benchEngagementView{Recipients: recipients, Seconds: length.Seconds()}
	a.note("Consents alone, for %s", span(length))
	before, err := b.consentTimes(ctx, length)
	if err != nil {
		return err
	}
	sent, err := sandbox.SendMessage(b.list, sandbox.MessageAct{Subject: "Spring", Recipients: recipients, OpenPercent: 30, ClickPercent: 5})
	if err != nil {
		return err
	}

	runtime.GC()
	var base runtime.MemStats
	runtime.ReadMemStats(&base)
	began := time.Now()
	carry := b.carry(ctx)
	peak := watchMemory(base.HeapAlloc)
	a.note("The message is sent; until its totals are complete")
	if err := b.awaitTotals(ctx, sent.ID); err != nil {
		return errors.Join(err, carry())
	}
	v.TotalsSeconds = time.Since(began).Seconds()
	a.note("Events alone, for %s", span(length))
	// The bucket was full: what it held above the floor goes first.
	if err := b.settle(ctx); err != nil {
		return errors.Join(err, carry())
	}
	rounds := b.minuteRounds(ctx)
	v.ShareAlone, v.ShareRounds, err = b.share(ctx, length)
	if err = errors.Join(err, rounds()); err != nil {
		return errors.Join(err, carry())
	}
	a.note("Events and a consent now and then, for %s", span(length))
	meanwhile, err := b.consentTimes(ctx, length)
	if err != nil {
		return errors.Join(err, carry())
	}
	a.note("Events and many consents that wait, for %s", span(length))
	v.ShareBeside, v.ConsentsWritten, err = b.flood(ctx, length)
	if err = errors.Join(err, carry()); err != nil {
		return err
	}
	v.PeakMegabytes = float64(peak()) / (1 << 20)
	v.ConsentBefore, v.ConsentMeanwhile = percentile(before, 0.5).Seconds(), percentile(meanwhile, 0.5).Seconds()
	v.ConsentBefore95, v.ConsentMeanwhile95 = percentile(before, 0.95).Seconds(), percentile(meanwhile, 0.95).Seconds()
	v.FieldsWritten = b.shop.MetafieldWrites()
	v.judge()
	if err := a.show(v); err != nil {
		return err
	}
	if !v.OK {
		return failedError("not everything that is promised of a campaign held")
	}
	return nil
}

func newEngagementBench(ctx context.Context, directory string) (*engagementBench, error) {
	b := &engagementBench{}
	var err error
	if b.sandbox, err = sandbox.Start(sandbox.Options{Log: slog.New(slog.DiscardHandler)}); err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(sandboxZone)
	if err != nil {
		return nil, err
	}
	b.shop = b.sandbox.AddShop(shop.Config{Domain: sandboxShop, ClientID: sandboxAppID, ClientSecret: sandboxAppSecret, Latency: benchShopifyLatency,
		Scopes: []string{"read_customers", "write_customers", "read_orders", "read_marketing_events", "write_marketing_events"}})
	b.list = b.sandbox.AddList(list.Config{ID: sandboxList, ClientID: sandboxAPIID, Secret: sandboxAPISecret, Zone: zone, Latency: benchListrakLatency})
	defaults := config.Settings{
		Ledger: config.DSN(sqliteScheme + filepath.Join(directory, "concord.db")), Interval: time.Minute, RoundLimit: 45 * time.Second,
		CheckoutWindow: 5 * time.Minute, OrderLag: time.Minute, MaxHeld: 500, CallTimeout: 20 * time.Second, ClaimLease: time.Minute,
		RunLease: 90 * time.Second,
	}
	if b.host, err = host.Open(ctx, defaults, slog.New(slog.DiscardHandler), nil); err != nil {
		return nil, err
	}
	settings, err := merchant.New(sandboxShop)
	if err != nil {
		return nil, err
	}
	settings.ShopifyURL, settings.ListrakURL, settings.ListrakAuthURL = b.sandbox.ShopifyURL(sandboxShop), b.sandbox.ListrakURL(), b.sandbox.ListrakAuthURL()
	settings.EmailList, settings.Zone = sandboxList, sandboxZone
	if _, err := b.host.Merchants.Add(ctx, settings, merchant.Credentials{ShopifyClientID: sandboxAppID, ShopifyClientSecret: sandboxAppSecret,
		ListrakClientID: sandboxAPIID, ListrakClientSecret: sandboxAPISecret}); err != nil {
		return nil, err
	}
	_, err = b.host.Ledger.SetSyncs(ctx, sandboxMerchant, ledger.SyncChange{On: map[consent.Sync]bool{
		consent.EmailEvents: true, consent.EmailToShopify: true,
	}})
	return b, err
}

func (b *engagementBench) close() error {
	err := b.host.Close()
	b.sandbox.Close()
	return err
}

// customers makes customers of the addresses that the message goes to, and lets the ledger know them as a full read would.
func (b *engagementBench) customers(ctx context.Context, n int) error {
	const chunk = 1000
	long := time.Now().Add(-24 * time.Hour)
	for from := 0; from < n; from += chunk {
		var batch ledger.Batch
		for i := from; i < min(from+chunk, n); i++ {
			email := sandbox.Recipient(i)
			id, err := b.shop.CreateCustomer(shop.NewCustomer{Email: email, At: long})
			if err != nil {
				return err
			}
			batch.Customers = append(batch.Customers, ledger.Customer{ID: string(id), UpdatedAt: consent.InstantOf(long.UTC().Truncate(time.Second)),
				Email: consent.SubjectOf(b.host.Keys.SubjectKey(), sandboxMerchant, consent.Email, email)})
		}
		if _, err := b.host.Ledger.Save(ctx, sandboxMerchant, batch); err != nil {
			return err
		}
	}
	// One round, so that its watermarks are set: what comes before the next is news.
	_, err := b.host.Engine.Round(ctx, sandboxMerchant)
	return err
}

// consentEvery is how often somebody subscribes while it is measured how long that takes.
const consentEvery = 5 * time.Second

// consentTimes lets somebody subscribe in Listrak now and then, begins a round at once, and tells how long it took until Shopify had it: what a
// merchant sees without the wait for the minute's round.
func (b *engagementBench) consentTimes(ctx context.Context, length time.Duration) ([]time.Duration, error) {
	var times []time.Duration
	ticker := time.NewTicker(consentEvery)
	defer ticker.Stop()
	for end := time.Now().Add(length); time.Now().Before(end); {
		email := b.newPerson()
		began := time.Now()
		if err := b.list.Subscribe(email, time.Time{}, "form"); err != nil {
			return nil, err
		}
		round := make(chan error, 1)
		go func() {
			_, err := b.host.Engine.Round(ctx, sandboxMerchant)
			round <- err
		}()
		took, err := b.awaitCustomer(email, began, round)
		if err != nil {
			return nil, err
		}
		times = append(times, took)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return times, nil
}

// awaitCustomer waits until a round has ended, and tells when the customer was there.
func (b *engagementBench) awaitCustomer(email string, began time.Time, round <-chan error) (took time.Duration, err error) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		if _, there := b.shop.Customer(email); there && took == 0 {
			took = time.Since(began)
		}
		select {
		case <-ticker.C:
			continue
		case err = <-round:
		}
		if _, there := b.shop.Customer(email); there && took == 0 {
			took = time.Since(began)
		}
		if err == nil && took == 0 {
			err = failedError("a consent did not reach Shopify with its round")
		}
		return took, err
	}
}

func (b *engagementBench) newPerson() string {
	b.consents++
	return fmt.Sprintf("subscriber-%d@example.com", b.consents)
}

// carry runs passes until it is stopped.
func (b *engagementBench) carry(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		for {
			pass, err := b.host.Events.Pass(ctx, sandboxMerchant)
			if ctx.Err() != nil {
				ended <- nil
				return
			}
			if err != nil {
				ended <- err
				return
			}
			if !pass.More {
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		}
	}()
	return func() error {
		cancel()
		return <-ended
	}
}

// minuteRounds runs the merchant's rounds as workers do, one a minute, until it is stopped.
func (b *engagementBench) minuteRounds(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ticker := time.NewTicker(time.Minute)
		defer ticker.Stop()
		for {
			if _, err := b.host.Engine.Round(ctx, sandboxMerchant); err != nil && ctx.Err() == nil {
				ended <- err
				return
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				ended <- nil
				return
			}
		}
	}()
	return func() error {
		cancel()
		return <-ended
	}
}

// awaitTotals waits until Shopify was told of everything that Listrak shows of a message.
func (b *engagementBench) awaitTotals(ctx context.Context, message int) error {
	want := list.MessageDay{}
	for _, day := range b.list.MessageDays(message, time.UTC) {
		want.Sends, want.UniqueOpens, want.UniqueClicks = want.Sends+day.Sends, want.UniqueOpens+day.UniqueOpens, want.UniqueClicks+day.UniqueClicks
	}
	limited, cancel := context.WithTimeout(ctx, 5*eventsVisible)
	defer cancel()
	for {
		got := list.MessageDay{}
		for _, report := range b.shop.Engagements() {
			for _, day := range report.Days {
				got.Sends, got.UniqueOpens, got.UniqueClicks = got.Sends+day.Counts["sendsCount"], got.UniqueOpens+day.Counts["uniqueViewsCount"],
					got.UniqueClicks+day.Counts["uniqueClicksCount"]
			}
		}
		if got == want {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-limited.Done():
			return failedError("the totals were not complete in Shopify: %+v instead of %+v", got, want)
		}
	}
}

// settle waits until the bucket no longer holds more than events leave in it.
func (b *engagementBench) settle(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, eventsVisible)
	defer cancel()
	for {
		if status := b.shop.Budget(); status.CurrentlyAvailable < status.MaximumAvailable*6/10 {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-limited.Done():
			return failedError("the customers' fields do not use the points that are there")
		}
	}
}

// share is the part of the restored points that the customers' fields take, and the part of everything else.
func (b *engagementBench) share(ctx context.Context, length time.Duration) (events, others float64, err error) {
	const fields = "metafieldsSet"
	before, began := b.shop.Points(), time.Now()
	select {
	case <-time.After(length):
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	restored := float64(b.shop.Budget().RestoreRate) * time.Since(began).Seconds()
	for operation, points := range b.shop.Points() {
		part := float64(points-before[operation]) / restored
		if operation == fields {
			events += part
		} else {
			others += part
		}
	}
	return events, others, nil
}

// flood lets so many subscribe at once that they wait for points all the time, and tells the part of the points that events take meanwhile
// and how many consents were written.
func (b *engagementBench) flood(ctx context.Context, length time.Duration) (events float64, written int, err error) {
	var people []string
	for range int(length.Seconds()*20) + 400 {
		people = append(people, b.newPerson())
	}
	for _, email := range people {
		if err := b.list.Subscribe(email, time.Time{}, "form"); err != nil {
			return 0, 0, err
		}
	}
	rounds, stop := context.WithCancel(ctx)
	var failed atomic.Pointer[error]
	var working sync.WaitGroup
	working.Go(func() {
		for rounds.Err() == nil {
			if _, err := b.host.Engine.Round(rounds, sandboxMerchant); err != nil && rounds.Err() == nil {
				failed.Store(&err)
				return
			}
		}
	})
	// Until the points that were saved up are gone, nobody waits.
	for b.shop.Budget().CurrentlyAvailable > 200 && failed.Load() == nil && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
	}
	events, _, err = b.share(ctx, length)
	stop()
	working.Wait()
	if why := failed.Load(); why != nil {
		err = errors.Join(err, *why)
	}
	for _, email := range people {
		if _, there := b.shop.Customer(email); there {
			written++
		}
	}
	return events, written, err
}

// watchMemory samples the heap until it is asked, and tells the most that was above base, in bytes.
func watchMemory(base uint64) func() uint64 {
	done, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		ticker := time.NewTicker(250 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				if m.HeapAlloc > base {
					most = max(most, m.HeapAlloc-base)
				}
			case <-done:
				peak <- most
				return
			}
		}
	}()
	return func() uint64 {
		close(done)
		return <-peak
	}
}

func percentile(times []time.Duration, part float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}

// benchEngagementView is the answer of `starter bench engagement`.
type benchEngagementView struct {
	OK         bool    `json:"ok"`
	Recipients int     `json:"recipients"`
	Seconds    float64 `json:"seconds"`
	// TotalsSeconds is from the sending until Shopify had the totals of everything that had happened.
	TotalsSeconds float64 `json:"totals_seconds"`
	// ShareAlone and ShareBeside are the parts of the restored points that customers' fields took: while no consent waited, and while many did.
	ShareAlone float64 `json:"share_alone"`
	// ShareRounds is what the minute's rounds took meanwhile, most of it for finding the customers that we touched among those that changed.
	ShareRounds     float64 `json:"share_rounds"`
	ShareBeside     float64 `json:"share_beside_consent"`
	ConsentsWritten int     `json:"consents_written"`
	// Seconds from a subscribe in Listrak until Shopify had it, round included: before the message was sent and while its events were written.
	ConsentBefore      float64 `json:"consent_before_p50_s"`
	ConsentMeanwhile   float64 `json:"consent_meanwhile_p50_s"`
	ConsentBefore95    float64 `json:"consent_before_p95_s"`
	ConsentMeanwhile95 float64 `json:"consent_meanwhile_p95_s"`
	// ConsentRatio is the median meanwhile by that before.
	ConsentRatio float64 `json:"consent_ratio"`
	// PeakMegabytes is what the heap held beyond the sandbox and its people, garbage included.
	PeakMegabytes float64 `json:"peak_megabytes"`
	FieldsWritten int     `json:"fields_written"`
}

func (v *benchEngagementView) judge() {
	v.ConsentRatio = v.ConsentMeanwhile / v.ConsentBefore
	v.OK = v.TotalsSeconds <= eventsVisible.Seconds() && v.ShareAlone >= eventsLeast && v.ShareBeside <= eventsMost &&
		v.ConsentRatio <= eventsLatency && v.PeakMegabytes <= eventsMegabytes
}

func (v *benchEngagementView) text(p *page) {
	seconds := func(s float64) string { return fmt.Sprintf("%.2f s", s) }
	percent := func(part float64) string { return fmt.Sprintf("%.0f %%", 100*part) }
	p.line("A message to %s customers, 30 %% open it and 5 %% click; Standard plan", grouped(uint64(v.Recipients)))
	p.table("  ", [][]string{
		{"", "MEASURED", "WANTED"},
		{"Totals complete in Shopify after", seconds(v.TotalsSeconds), "120 s at most"},
		{"Customers' fields took of the points, no consent waiting", percent(v.ShareAlone), "90 % at least"},
		{"and the minute's rounds meanwhile", percent(v.ShareRounds), ""},
		{"and while many consents waited", percent(v.ShareBeside), "50 % at most"},
		{"A consent took (median; 95 %) before", seconds(v.ConsentBefore) + "; " + seconds(v.ConsentBefore95), ""},
		{"and meanwhile", seconds(v.ConsentMeanwhile) + "; " + seconds(v.ConsentMeanwhile95), ""},
		{"Median meanwhile by that before", fmt.Sprintf("%.2f", v.ConsentRatio), "1.10 at most"},
		{"Memory beyond the sandbox, at most", fmt.Sprintf("%.0f MB", v.PeakMegabytes), "256 MB at most"},
	})
	p.line("  Consents written while many waited: %d. Fields of customers written in all: %s.", v.ConsentsWritten, grouped(uint64(v.FieldsWritten)))
}

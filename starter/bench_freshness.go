package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/config"
	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/workflows"
)

// How the two sides answer while freshness is measured: as they do on an ordinary day.
const (
	benchShopifyLatency = 120 * time.Millisecond
	benchListrakLatency = 180 * time.Millisecond
	benchListrakRate    = 50
	// benchOrderAfter is how long after the consent the order comes.
	benchOrderAfter = 10 * time.Second
	// benchPatience is after how long somebody whom nobody has written counts as late: a round has come by then.
	benchPatience = 2 * time.Minute
)

type freshnessFlags struct {
	people int
	rate   float64
	// lost: no webhook arrives, so that only the rounds find out.
	lost bool
	sms  bool
}

func newBenchFreshnessCommand(a *app) *cobra.Command {
	var flags freshnessFlags
	c := &cobra.Command{
		Use: "freshness", Short: "Measure how soon a decision in Shopify is in Listrak", Args: arguments(0, 0),
		Long: fmt.Sprintf(`Starts a local Temporal server, both sides as a sandbox with the latencies of an ordinary day (Shopify %d ms a call or webhook, Listrak %d ms,
%d requests a second allowed), and a worker with its door for webhooks. Then people unsubscribe in Shopify, at a steady rate, and half as many
consent and order %s later. It prints how long it took from each act until Listrak held it: from the unsubscribe, and from the order.

Exits with 1 when somebody was not written within %s.`, benchShopifyLatency.Milliseconds(), benchListrakLatency.Milliseconds(), benchListrakRate,
			benchOrderAfter, span(benchPatience)),
		Example: "  starter bench freshness\n  starter bench freshness --people 100 --lost\n  starter bench freshness --sms",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case flags.people < 1 || flags.people > 100_000:
				return usageError("--people must be between 1 and 100000")
			case !(flags.rate > 0 && flags.rate <= 1000):
				return usageError("--rate must be above 0 and at most 1000 a second")
			}
			return a.benchFreshness(cmd.Context(), flags)
		},
	}
	c.Flags().IntVar(&flags.people, "people", 1000, "how many people unsubscribe")
	c.Flags().Float64Var(&flags.rate, "rate", 5, "how many of them in a second")
	c.Flags().BoolVar(&flags.sms, "sms", false, "measure consents to SMS instead of email")
	c.Flags().BoolVar(&flags.lost, "lost", false, "lose every webhook, so that only the minute's rounds find out")
	return c
}

func (a *app) benchFreshness(ctx context.Context, flags freshnessFlags) (err error) {
	directory, err := os.MkdirTemp("", "concord-bench-")
	if err != nil {
		return fmt.Errorf("make a directory for the ledger: %w", err)
	}
	defer func() { _ = os.RemoveAll(directory) }() // what remains is in the system's temporary directory
	settings, err := benchSettings(directory)
	if err != nil {
		return err
	}
	a.note("Starting Temporal, both sides and a worker on this machine …")
	s, err := startStack(ctx, stackOptions{Settings: settings, ShopifyLatency: benchShopifyLatency, WebhookLatency: benchShopifyLatency, Log: a.logger(settings), Progress: a.errOut})
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := s.Stop(); err == nil {
			err = stopErr
		}
	}()
	b := &freshnessBench{app: a, stack: s, flags: flags, left: map[string]time.Time{}, ordered: map[string]time.Time{}}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	if err := b.play(ctx); err != nil {
		return err
	}
	if err := b.await(ctx); err != nil {
		return err
	}
	v := b.view()
	if err := a.show(v); err != nil {
		return err
	}
	if late := v.Unsubscribes.Missing + v.Checkouts.Missing; late > 0 {
		return failedError("%s not written within %s", count(int64(late), "person was", "people were"), span(benchPatience))
	}
	return nil
}

// benchSettings are those of production, on a ledger that is thrown away.
func benchSettings(directory string) (config.Settings, error) {
	settings, err := config.Load()
	if err != nil {
		return config.Settings{}, err
	}
	settings.Ledger, settings.TaskQueue = config.DSN("sqlite:"+directory+"/concord.db"), "concord-bench"
	settings.MasterKey, settings.MasterKeyFile = "", ""
	return settings, nil
}

// freshnessBench is one run: who did what when.
type freshnessBench struct {
	*app
	*stack
	flags freshnessFlags
	// left and ordered are when people unsubscribed, and ordered after a consent.
	left, ordered map[string]time.Time
}

// channel is the one that is measured; people are named by their address of it.
func (b *freshnessBench) channel() consent.Channel {
	if b.flags.sms {
		return consent.SMS
	}
	return consent.Email
}

func (b *freshnessBench) leaver(n int) string {
	if b.flags.sms {
		return fmt.Sprintf("+1212%07d", 2_000_000+n)
	}
	return fmt.Sprintf("leaver-%d@example.com", n)
}

func (b *freshnessBench) buyer(n int) string {
	if b.flags.sms {
		return fmt.Sprintf("+1213%07d", 2_000_000+n)
	}
	return fmt.Sprintf("buyer-%d@example.com", n)
}

// customer makes a customer of Shopify who consents.
func (b *freshnessBench) customer(address string, at time.Time) (shop.CustomerID, error) {
	given := shop.Consent{State: shop.Subscribed, UpdatedAt: at}
	if b.flags.sms {
		return b.Shop.CreateCustomer(shop.NewCustomer{Phone: address, SMSConsent: given, At: at})
	}
	return b.Shop.CreateCustomer(shop.NewCustomer{Email: address, Consent: given, At: at})
}

func (b *freshnessBench) subscribe(address string, at time.Time) error {
	if b.flags.sms {
		return b.SMS.Subscribe(sandboxPhones, address, at)
	}
	return b.List.Subscribe(address, at, "")
}

// leaves unsubscribes a customer in Shopify.
func (b *freshnessBench) leaves(address string) error {
	find, set := b.Shop.Customer, b.Shop.SetEmailConsent
	if b.flags.sms {
		find, set = b.Shop.CustomerByPhone, b.Shop.SetSMSConsent
	}
	customer, ok := find(address)
	if !ok {
		return failedError("%s is gone", address)
	}
	return set(customer.ID, shop.Unsubscribed, time.Time{})
}

// prepare fills both sides with subscribers, makes the store a merchant and waits until the full read knows everybody.
func (b *freshnessBench) prepare(ctx context.Context) error {
	long := b.now().Add(-24 * time.Hour)
	for n := range b.flags.people {
		if err := b.subscribe(b.leaver(n), long); err != nil {
			return err
		}
		if _, err := b.customer(b.leaver(n), long); err != nil {
			return err
		}
	}
	b.Shop.FinishIndexing()
	if err := b.List.Configure(func(c *list.Config) { c.Latency, c.RatePerSecond = benchListrakLatency, benchListrakRate }); err != nil {
		return err
	}
	if err := b.SMS.Configure(func(c *list.SenderCodeConfig) { c.Latency, c.RatePerSecond = benchListrakLatency, benchListrakRate }); err != nil {
		return err
	}
	if err := b.AddSandboxMerchant(ctx, func(m *merchant.Settings) { m.ListrakRate = benchListrakRate }); err != nil {
		return err
	}
	if b.flags.lost {
		b.Shop.WebhookFaults.Set(1, fault.Rule{Kind: fault.Lost})
	}
	run, err := workflows.StartBackfill(ctx, b.Client, b.stack.Settings.TaskQueue, sandboxMerchant, b.channel())
	if err != nil {
		return err
	}
	if err := run.Get(ctx, nil); err != nil {
		return fmt.Errorf("read both sides: %w", err)
	}
	_, err = workflows.SetSyncs(ctx, b.Client, sandboxMerchant,
		delta([]consent.Sync{consent.SyncTo(b.channel(), consent.Shopify), consent.SyncTo(b.channel(), consent.Listrak)}, true))
	return err
}

// play lets people act at the rate asked for.
func (b *freshnessBench) play(ctx context.Context) error {
	b.note("%s unsubscribe in Shopify, %g a second; half as many consent and order %s later", count(int64(b.flags.people), "person", "people"),
		b.flags.rate, benchOrderAfter)
	every := time.Duration(float64(time.Second) / b.flags.rate)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	type purchase struct {
		at       time.Time
		customer shop.CustomerID
		address  string
	}
	var purchases []purchase
	for n := 0; n < b.flags.people || len(purchases) > 0; n++ {
		for len(purchases) > 0 && !b.now().Before(purchases[0].at) {
			p := purchases[0]
			purchases = purchases[1:]
			b.ordered[p.address] = b.now()
			if _, err := b.Shop.PlaceOrder(shop.Order{CustomerID: p.customer}); err != nil {
				return err
			}
		}
		if n < b.flags.people {
			b.left[b.leaver(n)] = b.now()
			if err := b.leaves(b.leaver(n)); err != nil {
				return err
			}
			if n%2 == 0 {
				id, err := b.customer(b.buyer(n), time.Time{})
				if err != nil {
					return err
				}
				purchases = append(purchases, purchase{b.now().Add(benchOrderAfter), id, b.buyer(n)})
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// await waits until everybody was written, or patience ends.
func (b *freshnessBench) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, benchPatience)
	defer cancel()
	ticker := time.NewTicker(demoTick)
	defer ticker.Stop()
	for len(b.written()) < len(b.left)+len(b.ordered) {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if ctx.Err() == context.DeadlineExceeded {
				return nil
			}
			return ctx.Err()
		}
	}
	return nil
}

// writes are those of Listrak's that changed somebody, on the list of the channel.
func (b *freshnessBench) writes() []benchWrite {
	var writes []benchWrite
	if !b.flags.sms {
		for _, w := range b.List.Writes() {
			if w.Effective {
				writes = append(writes, benchWrite{w.Email, w.At, w.State, slices.Contains(w.Events, sandboxCheckout)})
			}
		}
		return writes
	}
	all := b.SMS.Writes()
	checkouts := map[string]bool{}
	for _, w := range all {
		if w.Effective && w.List == sandboxCheckoutPhone {
			checkouts[w.Phone] = true
		}
	}
	for _, w := range all {
		if w.Effective && w.List == sandboxPhones {
			writes = append(writes, benchWrite{w.Phone, w.At, w.State, checkouts[w.Phone]})
		}
	}
	return writes
}

type benchWrite struct {
	address  string
	at       time.Time
	state    list.State
	checkout bool
}

// written is when Listrak took what each person decided: the first write of that state.
func (b *freshnessBench) written() map[string]time.Time {
	at := map[string]time.Time{}
	for _, w := range b.writes() {
		_, left := b.left[w.address]
		if left != (w.state == list.Unsubscribed) {
			continue
		}
		if _, before := at[w.address]; !before {
			at[w.address] = w.at
		}
	}
	return at
}

// freshnessView is the answer of `starter bench freshness`.
type freshnessView struct {
	Channel      string         `json:"channel"`
	Lost         bool           `json:"webhooks_lost"`
	Unsubscribes *latencies     `json:"unsubscribes"`
	Checkouts    *latencies     `json:"checkouts"`
	Marketing    int            `json:"through_marketing_instead"`
	Requests     map[string]int `json:"shopify_requests"`
	channel      consent.Channel
}

func (b *freshnessBench) view() *freshnessView {
	v := &freshnessView{Channel: b.channel().String(), channel: b.channel(), Lost: b.flags.lost, Unsubscribes: &latencies{}, Checkouts: &latencies{}, Requests: b.Shop.Requests()}
	at := b.written()
	for _, part := range []struct {
		acts map[string]time.Time
		into *latencies
	}{{b.left, v.Unsubscribes}, {b.ordered, v.Checkouts}} {
		for address, acted := range part.acts {
			if w, ok := at[address]; ok {
				part.into.Milliseconds = append(part.into.Milliseconds, float64(w.Sub(acted))/float64(time.Millisecond))
			} else {
				part.into.Missing++
			}
		}
		slices.Sort(part.into.Milliseconds)
	}
	for _, w := range b.writes() {
		if _, buys := b.ordered[w.address]; buys && !w.checkout {
			v.Marketing++
		}
	}
	return v
}

func (v *freshnessView) text(p *page) {
	p.table("", [][]string{
		{"on " + channelName(v.channel), "people", "p50", "p90", "p99", "worst", "not written"},
		v.Unsubscribes.row("unsubscribe in Shopify → Listrak"),
		v.Checkouts.row("order in Shopify → Listrak"),
	})
	if v.Marketing > 0 {
		p.line("%s subscribed through marketing instead of checkout", count(int64(v.Marketing), "person was", "people were"))
	}
	p.line("")
	p.line("From the unsubscribe:")
	v.Unsubscribes.histogram(p)
	p.line("")
	p.line("From the order:")
	v.Checkouts.histogram(p)
}

// latencies is a distribution, in milliseconds, sorted.
type latencies struct {
	Milliseconds []float64 `json:"milliseconds"`
	Missing      int       `json:"missing"`
}

// quantile is the smallest value that at least that part of all does not exceed.
func (l *latencies) quantile(part float64) time.Duration {
	if len(l.Milliseconds) == 0 {
		return 0
	}
	n := int(math.Ceil(part*float64(len(l.Milliseconds)))) - 1
	return time.Duration(l.Milliseconds[max(n, 0)] * float64(time.Millisecond))
}

func (l *latencies) row(name string) []string {
	show := func(part float64) string { return seconds(l.quantile(part)) }
	return []string{name, grouped(uint64(len(l.Milliseconds) + l.Missing)), show(0.5), show(0.9), show(0.99), show(1), fmt.Sprint(l.Missing)}
}

// histogram draws how many took how long, in a dozen lines.
func (l *latencies) histogram(p *page) {
	if len(l.Milliseconds) == 0 {
		p.line("  nobody")
		return
	}
	step := niceStep(l.Milliseconds[len(l.Milliseconds)-1] / 12)
	var bins []int
	most := 0
	for _, ms := range l.Milliseconds {
		n := int(ms / step)
		for len(bins) <= n {
			bins = append(bins, 0)
		}
		bins[n]++
		most = max(most, bins[n])
	}
	rows := make([][]string, len(bins))
	for n, size := range bins {
		from := time.Duration(float64(n) * step * float64(time.Millisecond))
		rows[n] = []string{"from " + seconds(from), fmt.Sprint(size), strings.Repeat("#", (size*barWidth+most-1)/most)}
	}
	p.table("  ", rows)
}

// niceStep is the next of 1, 2, 5, 10, 20, 50 … that is not below least, in milliseconds.
func niceStep(least float64) float64 {
	for unit := 10.0; ; unit *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if n*unit >= least {
				return n * unit
			}
		}
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

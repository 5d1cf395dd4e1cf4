package ledger

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/concordsync/concord/internal/consent"
)

// Webhook is what is kept of one delivery of a webhook: ids and hashes, never its body.
type Webhook struct {
	Merchant string
	// ID names the delivery and stays the same when it is tried again (X-Shopify-Webhook-Id).
	ID    string
	Topic string
	// Body is a keyed hash of the raw body.
	Body []byte
	// Customers are the GIDs of customers of whom there is news; CanWait lets many such webhooks be read together, up to updatesTogether later.
	Customers []string
	CanWait   bool
	// Order is remembered for the checkout windows, unless nil.
	Order *Order
	// Privacy is what has to be done about it, unless nil.
	Privacy *PrivacyRequest
	// Problem says in plain words what the payload lacks; then nothing follows from it.
	Problem string
}

// WebhookReceipt says what became of one delivery.
type WebhookReceipt struct {
	// Duplicate: it was taken before, and nothing was done now; OtherBody: with another body then.
	Duplicate, OtherBody bool
	// Held are the consents whose open windows have to be told of the order.
	Held []Held
	// Nudge: hints wait and nobody reads them; whoever gets this must send somebody.
	Nudge bool
}

// updatesTogether is how long webhooks that can wait are gathered before their customers are read. Whoever writes to many customers, an app, an
// import, or we with the fields of events, causes one for each of them: read as they come, a few at a time, they would take a third of a
// Standard store's points.
const updatesTogether = 5 * consent.Second

// hintMemory is how long a hint waits for a merchant that does not run, or all of whose syncs are off: polls find what it tells, and a
// shop that has left must not leave the ids of its customers here.
const hintMemory = 24 * consent.Hour

// nudgeTime is how long a nudge may be on its way before the next webhook sends another one.
const nudgeTime = 15 * consent.Second

// ReceiveWebhooks keeps deliveries, of any merchants, in one transaction: either all of them are kept, or the error says why none is.
// The receipts keep the order of the deliveries. A merchant whose syncs are off or who does not run gets no nudge: its hints wait.
func (l *Ledger) ReceiveWebhooks(ctx context.Context, webhooks []Webhook) ([]WebhookReceipt, error) {
	var receipts []WebhookReceipt
	err := l.transact(ctx, "keep webhooks", func(t *transaction) (err error) {
		receipts, err = t.receive(ctx, webhooks)
		return err
	})
	if err != nil {
		return nil, err
	}
	return receipts, nil
}

func (t *transaction) receive(ctx context.Context, webhooks []Webhook) ([]WebhookReceipt, error) {
	now, err := t.now(ctx)
	if err != nil {
		return nil, err
	}
	receipts, err := t.tellNewWebhooks(ctx, webhooks, now)
	if err != nil {
		return nil, err
	}
	if err := t.countProblems(ctx, webhooks, receipts, now); err != nil {
		return nil, err
	}
	var orders []any
	hints := map[string]map[string]consent.Instant{}
	nudger := map[string]int{}
	hint := func(i int, due consent.Instant, customers ...string) {
		merchant := webhooks[i].Merchant
		if hints[merchant] == nil {
			hints[merchant], nudger[merchant] = map[string]consent.Instant{}, i
		}
		for _, customer := range customers {
			if before, twice := hints[merchant][text(customer)]; !twice || due < before {
				hints[merchant][text(customer)] = due
			}
		}
	}
	waiting, err := t.holdsFor(ctx, webhooks, receipts)
	if err != nil {
		return nil, err
	}
	remembered := map[[2]string]bool{}
	for i, w := range webhooks {
		if receipts[i].Duplicate || w.Problem != "" {
			continue
		}
		if len(w.Customers) > 0 {
			due := now
			if w.CanWait {
				due = now.Plus(updatesTogether - consent.Span(now)%updatesTogether)
			}
			hint(i, due, w.Customers...)
		}
		if w.Privacy != nil {
			if err := t.addPrivacyRequest(ctx, w.Merchant, *w.Privacy); err != nil {
				return nil, err
			}
		}
		if o := w.Order; o != nil {
			if key := [2]string{w.Merchant, text(o.ID)}; !remembered[key] {
				remembered[key] = true
				orders = append(orders, w.Merchant, text(o.ID), text(o.Customer), subjectOrNull(o.Email), int64(o.CreatedAt), int64(o.Until))
			}
			for _, h := range waiting[w.Merchant] {
				if !mayWaitFor(h, o) {
					continue
				}
				if h.Opened != 0 {
					receipts[i].Held = append(receipts[i].Held, h)
				} else {
					// Nobody is there to be told: whoever reads the hints settles the hold.
					hint(i, now, h.Hold.Customer)
				}
			}
		}
	}
	const orderColumns = 6
	if err := t.insert(ctx, "INSERT INTO orders (merchant, order_id, customer, email, created_at, until)", orderColumns, orders,
		"ON CONFLICT (merchant, order_id) DO UPDATE SET until = excluded.until WHERE excluded.until > orders.until", nil); err != nil {
		return nil, err
	}
	// One order of rows for all transactions, so that two of them wait instead of deadlocking.
	for _, merchant := range slices.Sorted(maps.Keys(hints)) {
		nudge, err := t.hint(ctx, merchant, hints[merchant], now)
		if err != nil {
			return nil, err
		}
		receipts[nudger[merchant]].Nudge = nudge
	}
	return receipts, nil
}

// tellNewWebhooks keeps the deliveries that are new, and says which are not.
func (t *transaction) tellNewWebhooks(ctx context.Context, webhooks []Webhook, now consent.Instant) ([]WebhookReceipt, error) {
	type key struct{ merchant, id string }
	order := make([]int, len(webhooks))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(webhooks[a].Merchant, webhooks[b].Merchant), cmp.Compare(webhooks[a].ID, webhooks[b].ID))
	})
	const columns = 6
	args := make([]any, 0, len(webhooks)*columns)
	first := make(map[key]int, len(webhooks))
	for _, i := range order {
		w := &webhooks[i]
		k := key{w.Merchant, text(w.ID)}
		if _, again := first[k]; again {
			continue
		}
		first[k] = i
		args = append(args, w.Merchant, k.id, text(w.Topic), notNull(w.Body), text(w.Problem), int64(now))
	}
	receipts := make([]WebhookReceipt, len(webhooks))
	for i := range receipts {
		receipts[i].Duplicate = true
	}
	if err := t.insert(ctx, "INSERT INTO deliveries (merchant, delivery, topic, body, problem, received)", columns, args,
		"ON CONFLICT (merchant, delivery) DO NOTHING RETURNING merchant, delivery", func(rows *sql.Rows) error {
			var k key
			err := rows.Scan(&k.merchant, &k.id)
			receipts[first[k]].Duplicate = false
			return err
		}); err != nil {
		return nil, err
	}
	for i, w := range webhooks {
		if !receipts[i].Duplicate {
			continue
		}
		var body []byte
		if err := t.QueryRowContext(ctx, "SELECT body FROM deliveries WHERE merchant = $1 AND delivery = $2", w.Merchant, text(w.ID)).
			Scan(&body); err != nil {
			return nil, err
		}
		receipts[i].OtherBody = !bytes.Equal(body, w.Body)
	}
	return receipts, nil
}

// holdsFor returns the unsettled holds, by merchant, of the customers and addresses of all new orders.
func (t *transaction) holdsFor(ctx context.Context, webhooks []Webhook, receipts []WebhookReceipt) (map[string][]Held, error) {
	customers, subjects := map[string]map[string]bool{}, map[string]map[consent.Subject]bool{}
	for i, w := range webhooks {
		if w.Order == nil || receipts[i].Duplicate || w.Problem != "" {
			continue
		}
		if customers[w.Merchant] == nil {
			customers[w.Merchant], subjects[w.Merchant] = map[string]bool{}, map[consent.Subject]bool{}
		}
		if w.Order.Customer != "" {
			customers[w.Merchant][text(w.Order.Customer)] = true
		}
		if !w.Order.Email.IsZero() {
			subjects[w.Merchant][w.Order.Email] = true
		}
	}
	waiting := map[string][]Held{}
	for merchant := range customers {
		found := map[consent.Subject]Held{}
		scan := func(rows *sql.Rows) error {
			h, err := scanHeld(rows)
			found[h.Subject] = h
			return err
		}
		hashes := make([][]byte, 0, len(subjects[merchant]))
		for subject := range subjects[merchant] {
			hashes = append(hashes, subject[:])
		}
		slices.SortFunc(hashes, bytes.Compare)
		if err := in(ctx, t.ledger.dialect, t, selectHolds+"merchant = $1 AND channel = $2 AND subject ", []any{merchant, int64(consent.Email)},
			hashes, "", scan); err != nil {
			return nil, err
		}
		if err := in(ctx, t.ledger.dialect, t, selectHolds+"merchant = $1 AND customer ", []any{merchant},
			slices.Sorted(maps.Keys(customers[merchant])), "", scan); err != nil {
			return nil, err
		}
		waiting[merchant] = slices.Collect(maps.Values(found))
	}
	return waiting, nil
}

// longestBefore is how long before its consent an order may lie at most, whatever the merchant's setting: windows judge exactly.
const longestBefore = 15 * consent.Minute

func mayWaitFor(h Held, o *Order) bool {
	theirs := h.Subject == o.Email || o.Customer != "" && h.Hold.Customer == o.Customer
	return theirs && o.CreatedAt >= h.Hold.Consent.Plus(-longestBefore) && o.CreatedAt <= h.Hold.Until
}

// hint notes customers of whom there is news, with when they are due to be read, and reports whether somebody must be sent to read them.
func (t *transaction) hint(ctx context.Context, merchant string, customers map[string]consent.Instant, now consent.Instant) (nudge bool, err error) {
	const columns = 4
	args := make([]any, 0, len(customers)*columns)
	for _, customer := range slices.Sorted(maps.Keys(customers)) {
		args = append(args, merchant, customer, 1, int64(customers[customer]))
	}
	if err := t.insert(ctx, "INSERT INTO hints (merchant, customer, mark, since)", columns, args,
		`ON CONFLICT (merchant, customer) DO UPDATE SET mark = hints.mark + 1,
			since = CASE WHEN excluded.since < hints.since THEN excluded.since ELSE hints.since END`, nil); err != nil {
		return false, err
	}
	on := false
	if err := each(ctx, t, func(*sql.Rows) error { on = true; return nil },
		`SELECT 1 FROM merchants m JOIN syncs s ON s.merchant = m.id WHERE m.id = $1 AND m.state = 'running' AND s.is_on = 1 LIMIT 1`,
		merchant); err != nil || !on {
		return false, err
	}
	// Whoever ends a drain holds this row while looking whether hints wait, so that none falls between the two.
	// PostgreSQL locks it here even where the condition does not hold.
	err = each(ctx, t, func(*sql.Rows) error { nudge = true; return nil }, `INSERT INTO drains (merchant, awake_until) VALUES ($1, $2)
		ON CONFLICT (merchant) DO UPDATE SET awake_until = excluded.awake_until WHERE drains.awake_until <= $3 RETURNING 1`,
		merchant, int64(now.Plus(nudgeTime)), int64(now))
	return nudge, err
}

// Hint notes a customer of whom there is news, as a webhook does, and reports whether somebody must be sent.
func (l *Ledger) Hint(ctx context.Context, merchant, customer string) (nudge bool, err error) {
	err = l.transact(ctx, "note a hint", func(t *transaction) error {
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		nudge, err = t.hint(ctx, merchant, map[string]consent.Instant{text(customer): now}, now)
		return err
	})
	return nudge && err == nil, err
}

// Hint is a customer of whom there is news.
type Hint struct {
	// Customer is the Shopify GID.
	Customer string
	// Mark tells a hint from a newer one about the same customer.
	Mark int64
	// Since is when the oldest webhook that is not read yet came, or a little later if it can wait: nobody reads it before.
	Since consent.Instant
}

// Hints returns the merchant's hints that have waited since until or longer, the oldest first.
func (l *Ledger) Hints(ctx context.Context, merchant string, until consent.Instant, limit int) ([]Hint, error) {
	var hints []Hint
	err := each(ctx, l.reads, func(rows *sql.Rows) error {
		var h Hint
		err := rows.Scan(&h.Customer, &h.Mark, &h.Since)
		hints = append(hints, h)
		return err
	}, "SELECT customer, mark, since FROM hints WHERE merchant = $1 AND since <= $2 ORDER BY since, customer LIMIT $3",
		merchant, int64(until), limit)
	if err != nil {
		return nil, fmt.Errorf("read hints: %w", explain(err))
	}
	return hints, nil
}

// ForgetHints takes away hints that were acted upon. One about which there is newer news stays.
func (l *Ledger) ForgetHints(ctx context.Context, merchant string, hints []Hint) error {
	if len(hints) == 0 {
		return nil
	}
	marks := map[int64][]string{}
	all := make([]string, 0, len(hints))
	for _, h := range hints {
		marks[h.Mark] = append(marks[h.Mark], h.Customer)
		all = append(all, h.Customer)
	}
	slices.Sort(all)
	return l.transact(ctx, "forget hints", func(t *transaction) error {
		if err := t.lockHints(ctx, merchant, all); err != nil {
			return err
		}
		for _, mark := range slices.Sorted(maps.Keys(marks)) {
			customers := slices.Sorted(slices.Values(marks[mark]))
			if err := in(ctx, t.ledger.dialect, t, "DELETE FROM hints WHERE merchant = $1 AND mark = $2 AND customer ",
				[]any{merchant, mark}, customers, "", nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// lockHints keeps the hints of customers, which are sorted, as they are until the transaction ends. All lock them in the order in which
// webhooks write them: a DELETE takes rows as it finds them, and would wait for a webhook that waits for it.
func (t *transaction) lockHints(ctx context.Context, merchant string, customers []string) error {
	tail := t.ledger.dialect.forDeleteInOrder("customer")
	if tail == "" {
		return nil
	}
	return in(ctx, t.ledger.dialect, t, "SELECT 1 FROM hints WHERE merchant = $1 AND customer ", []any{merchant}, customers, tail, nil)
}

// StayAwake says that the merchant's hints are being read for as long as d from now, so that webhooks send nobody.
func (l *Ledger) StayAwake(ctx context.Context, merchant string, d time.Duration) error {
	return l.transact(ctx, "stay awake", func(t *transaction) error {
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		_, err = t.ExecContext(ctx, `INSERT INTO drains (merchant, awake_until) VALUES ($1, $2)
			ON CONFLICT (merchant) DO UPDATE SET awake_until = excluded.awake_until`, merchant, int64(now.Plus(consent.SpanOf(d))))
		return err
	})
}

// FallAsleep ends what StayAwake began, unless hints wait: then it changes nothing and asleep is false. The next webhook sends somebody.
func (l *Ledger) FallAsleep(ctx context.Context, merchant string) (asleep bool, err error) {
	err = l.transact(ctx, "fall asleep", func(t *transaction) error {
		asleep = true
		// The lock first: a webhook whose transaction is under way is waited for, and one that comes later sees the row as it is then.
		if err := each(ctx, t, nil, "SELECT 1 FROM drains WHERE merchant = $1"+t.ledger.dialect.forWrite(), merchant); err != nil {
			return err
		}
		if err := each(ctx, t, func(*sql.Rows) error { asleep = false; return nil },
			"SELECT 1 FROM hints WHERE merchant = $1 LIMIT 1", merchant); err != nil || !asleep {
			return err
		}
		_, err := t.ExecContext(ctx, "UPDATE drains SET awake_until = 0 WHERE merchant = $1", merchant)
		return err
	})
	return asleep && err == nil, err
}

// PrivacyKind is what a person or a merchant has a right to. The values are stored.
type PrivacyKind string

const (
	// DataRequest: a person wants to see what is held.
	DataRequest PrivacyKind = "data_request"
	// Redact: a person wants to be forgotten.
	Redact PrivacyKind = "redact"
	// ShopRedact: a merchant who has left wants its people to be forgotten.
	ShopRedact PrivacyKind = "shop_redact"
	// Uninstalled: the merchant has uninstalled the app.
	Uninstalled PrivacyKind = "uninstalled"
)

// PrivacyRequest is one such right that was asked for.
type PrivacyRequest struct {
	// ID is unique within the merchant: of a webhook its delivery's.
	ID   string
	Kind PrivacyKind
	// Customer is the GID of the Shopify customer, or empty.
	Customer string
	// Sealed is who it is about, sealed, until it is done. The ledger cannot read it.
	Sealed []byte
	// Received is when it was asked for, Due when it must be done, Done when it was; zero while it is open.
	Received, Due, Done consent.Instant
	// Outcome says in plain words how it ended; Progress is opaque and holds no personal data.
	Outcome, Progress string
}

// privacyTime is within which Shopify wants a request to be done (contracts/shopify.md 5.3).
const privacyTime = 30 * 24 * consent.Hour

// addPrivacyRequest keeps a request that was just received, or, as Received says, when Shopify first sent it; the same one again changes
// nothing. Shopify tries for LongestRetry at most, so nothing that is new was sent before that.
func (t *transaction) addPrivacyRequest(ctx context.Context, merchant string, r PrivacyRequest) error {
	now, err := t.now(ctx)
	if err != nil {
		return err
	}
	received := now
	if r.Received != 0 {
		received = max(min(r.Received, now), now.Plus(-LongestRetry))
	}
	_, err = t.ExecContext(ctx, `INSERT INTO privacy_requests (merchant, id, kind, customer, sealed, received, due, done, outcome, progress)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, '', '') ON CONFLICT (merchant, id) DO NOTHING`,
		merchant, text(r.ID), string(r.Kind), text(r.Customer), r.Sealed, int64(received), int64(received.Plus(privacyTime)))
	return err
}

package privacy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/explain"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/shopify"
)

// Export is all that is held of one person, and what both sides show of them, as it is given to them. Times are in UTC.
type Export struct {
	Merchant    string    `json:"merchant"`
	GeneratedAt time.Time `json:"generated_at"`
	// AskedFor are the addresses by which the person was looked for.
	AskedFor struct {
		Email string `json:"email,omitempty"`
		Phone string `json:"phone,omitempty"`
	} `json:"asked_for"`
	Customers []ExportedCustomer `json:"shopify_customers"`
	Addresses []ExportedAddress  `json:"addresses"`
	Orders    []ExportedOrder    `json:"remembered_orders"`
	// Announced are the customers of whom Shopify has just told that something changed.
	Announced []string `json:"announced_changes"`
	// Unreadable are what stands for a phone number and is none, for somebody to mend.
	Unreadable []ExportedText    `json:"unreadable_phones"`
	Requests   []ExportedRequest `json:"privacy_requests"`
	Shopify    ShownNow          `json:"shopify_now"`
	Listrak    ShownNow          `json:"listrak_now"`
}

// ExportedCustomer is the link of a Shopify customer to the hashes of their addresses.
type ExportedCustomer struct {
	ID        string    `json:"id"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	EmailHash string    `json:"email_hash,omitempty"`
	PhoneHash string    `json:"phone_hash,omitempty"`
}

// ExportedAddress is what is held under the hash of one address.
type ExportedAddress struct {
	Channel string `json:"channel"`
	Hash    string `json:"hash"`
	// Known is false for an address of which nothing is held.
	Known bool `json:"known"`
	// AddressKept: the address itself is kept too, sealed, because a delivery needs it.
	AddressKept bool             `json:"address_kept"`
	Decision    ExportedDecision `json:"decision"`
	Sides       []ExportedSide   `json:"sides"`
	Waiting     *ExportedWait    `json:"waiting_for_an_order,omitempty"`
	UnderWay    []string         `json:"deliveries_under_way"`
	Orders      []ExportedOrder  `json:"remembered_orders"`
	// Events are what is kept of the messages that were sent there, nil when nothing is.
	Events *ExportedEvents    `json:"events,omitempty"`
	Story  []explain.Sentence `json:"journal"`
}

// ExportedEvents are what is kept of somebody's messages. The three dates are of all time and stand in Shopify too, with counts of thirty days.
type ExportedEvents struct {
	LastSent    time.Time         `json:"last_sent,omitzero"`
	LastOpened  time.Time         `json:"last_opened,omitzero"`
	LastClicked time.Time         `json:"last_clicked,omitzero"`
	Messages    []ExportedMessage `json:"messages"`
}

// ExportedMessage is one message; a date that is missing says that it never happened, or that nobody told.
type ExportedMessage struct {
	ID           string    `json:"id"`
	Title        string    `json:"title,omitempty"`
	Sent         time.Time `json:"sent,omitzero"`
	Opened       time.Time `json:"opened,omitzero"`
	Clicked      time.Time `json:"clicked,omitzero"`
	Clicks       int64     `json:"clicks,omitempty"`
	Bounced      time.Time `json:"bounced,omitzero"`
	Unsubscribed time.Time `json:"unsubscribed,omitzero"`
	Complained   time.Time `json:"complained,omitzero"`
}

// ExportedDecision is what the person decided, as far as both sides have told.
type ExportedDecision struct {
	State string    `json:"state"`
	At    time.Time `json:"at,omitzero"`
	Side  string    `json:"side,omitempty"`
}

// ExportedSide is what one side showed last and was sent.
type ExportedSide struct {
	Side       string             `json:"side"`
	Shows      string             `json:"shows"`
	Dated      time.Time          `json:"dated,omitzero"`
	Read       time.Time          `json:"read,omitzero"`
	ID         string             `json:"id,omitempty"`
	Deliveries []ExportedDelivery `json:"deliveries"`
}

// ExportedDelivery is one write of a decision to a side.
type ExportedDelivery struct {
	State   string    `json:"state"`
	Began   time.Time `json:"began,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	Outcome string    `json:"outcome"`
	Point   string    `json:"subscription_point"`
	Code    string    `json:"code,omitempty"`
}

// ExportedWait is a consent that waits for an order.
type ExportedWait struct {
	Consent  time.Time `json:"consent"`
	Until    time.Time `json:"until"`
	Customer string    `json:"customer"`
}

// ExportedOrder is an order that is remembered for some minutes.
type ExportedOrder struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	Until     time.Time `json:"kept_until"`
}

// ExportedText is a text of a side's that should be a phone number.
type ExportedText struct {
	Side string    `json:"side"`
	Text string    `json:"text"`
	Seen time.Time `json:"seen"`
}

// ExportedRequest is a privacy request about the person.
type ExportedRequest struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`
	Received time.Time `json:"received"`
	Done     time.Time `json:"done,omitzero"`
	Outcome  string    `json:"outcome,omitempty"`
}

// ShownNow is what a side shows of the person at the moment of the export.
type ShownNow struct {
	// Problem says why the side could not be read; then nothing is known of it.
	Problem string        `json:"problem,omitempty"`
	People  []ShownPerson `json:"people"`
}

// ShownPerson is one customer or contact, with the consents that it has.
type ShownPerson struct {
	ID       string    `json:"id,omitempty"`
	Email    string    `json:"email,omitempty"`
	State    string    `json:"email_consent,omitempty"`
	Dated    time.Time `json:"dated,omitzero"`
	Method   string    `json:"method,omitempty"`
	Phone    string    `json:"phone,omitempty"`
	SMSState string    `json:"sms_consent,omitempty"`
	SMSDated time.Time `json:"sms_dated,omitzero"`
}

// ErrNoDirectory: nowhere is set where exports are written.
var ErrNoDirectory = errors.New("there is no directory for exports")

// ExportPerson writes all that is held of the person, with what both sides show now, into two files that only this user may read: JSON, and
// the same as text. It ends the request; the outcome names the first file. Doing it again before the request is done writes them anew.
func (o *Office) ExportPerson(ctx context.Context, merchant, id string) (string, error) {
	j, err := o.open(ctx, merchant, id)
	if err != nil || !j.request.Open() {
		return outcomeOf(j), err
	}
	if o.ExportDirectory == "" {
		return "", &failure.Error{Class: failure.PersonMustAct, Op: "write an export", Code: "NO_DIRECTORY", Err: ErrNoDirectory,
			Advice: "Set CONCORD_EXPORT_DIRECTORY for the worker"}
	}
	export, err := j.export(ctx)
	if err != nil {
		return "", err
	}
	path, err := j.write(export)
	if err != nil {
		return "", err
	}
	return j.finish(ctx, "Written to "+path+" (and as .txt beside it) by the worker that did it. Give it to the person, then delete both files.")
}

// export collects everything.
func (j *job) export(ctx context.Context) (*Export, error) {
	f, err := j.find(ctx)
	if err != nil {
		return nil, err
	}
	held, err := j.Engine.Ledger.Holdings(ctx, j.merchant, f.subjects, f.customers)
	if err != nil {
		return nil, err
	}
	e := &Export{Merchant: j.merchant, GeneratedAt: j.Engine.Now().UTC(), Customers: []ExportedCustomer{}, Addresses: []ExportedAddress{},
		Orders: ordersOf(held.Orders), Announced: []string{}, Unreadable: []ExportedText{}, Requests: []ExportedRequest{}}
	e.AskedFor.Email, e.AskedFor.Phone = j.person.Email, j.person.Phone
	for _, c := range held.Customers {
		e.Customers = append(e.Customers, ExportedCustomer{ID: c.ID, UpdatedAt: c.UpdatedAt.Time(), EmailHash: hashOf(c.Email), PhoneHash: hashOf(c.SMS)})
	}
	for _, h := range held.Subjects {
		address := addressOf(h)
		if address.Events, err = j.eventsOf(ctx, h.Subject); err != nil {
			return nil, err
		}
		address.Known = address.Known || address.Events != nil
		e.Addresses = append(e.Addresses, address)
	}
	for _, h := range held.Hints {
		e.Announced = append(e.Announced, h.Customer)
	}
	for _, u := range held.Unreadable {
		text := ExportedText{Side: u.Side.String(), Text: "(cannot be opened)", Seen: u.Seen.Time()}
		if plain, err := j.Engine.Keys.Open(u.Sealed, reconcile.UnreadableContext(u.Phone)); err == nil {
			text.Text = string(plain)
		}
		e.Unreadable = append(e.Unreadable, text)
	}
	for _, r := range held.Requests {
		e.Requests = append(e.Requests, requestOf(r))
	}
	if j.request.Customer == "" {
		e.Requests = append(e.Requests, requestOf(j.request))
	}
	j.readSides(ctx, e, f)
	return e, nil
}

// eventsOf is what is kept of the messages to an address; nil when nothing is.
func (j *job) eventsOf(ctx context.Context, subject consent.Subject) (*ExportedEvents, error) {
	kept, err := j.Engine.Ledger.EngagedPerson(ctx, j.merchant, subject)
	if err != nil {
		return nil, err
	}
	record, err := engagement.DecodeRecord(kept.Record)
	if err != nil || len(kept.Record) == 0 || record.Erased() {
		return nil, err
	}
	messages := record.Messages()
	refs := make([]int64, len(messages))
	for n, m := range messages {
		refs[n] = m.Ref
	}
	known, err := j.Engine.Ledger.EngagementMessagesByRef(ctx, j.merchant, refs)
	if err != nil {
		return nil, err
	}
	events := &ExportedEvents{LastSent: record.Last(engagement.Sent), LastOpened: record.Last(engagement.Opened),
		LastClicked: record.Last(engagement.Clicked), Messages: []ExportedMessage{}}
	for _, m := range messages {
		events.Messages = append(events.Messages, ExportedMessage{ID: known[m.Ref].ID, Title: known[m.Ref].Title, Clicks: m.Clicks,
			Sent: m.At[engagement.Sent], Opened: m.At[engagement.Opened], Clicked: m.At[engagement.Clicked], Bounced: m.At[engagement.Bounced],
			Unsubscribed: m.At[engagement.Unsubscribed], Complained: m.At[engagement.Complained]})
	}
	return events, nil
}

func hashOf(s consent.Subject) string {
	if s.IsZero() {
		return ""
	}
	return s.Hex()
}

func ordersOf(orders []ledger.Order) []ExportedOrder {
	list := []ExportedOrder{}
	for _, o := range orders {
		list = append(list, ExportedOrder{ID: o.ID, CreatedAt: o.CreatedAt.Time(), Until: o.Until.Time()})
	}
	return list
}

func requestOf(r ledger.PrivacyRequest) ExportedRequest {
	return ExportedRequest{ID: r.ID, Kind: string(r.Kind), Received: r.Received.Time(), Done: r.Done.Time(), Outcome: r.Outcome}
}

func addressOf(h ledger.Holding) ExportedAddress {
	rec := &h.Record
	a := ExportedAddress{Channel: h.Channel.String(), Hash: h.Subject.Hex(), Known: h.Version > 0 || len(h.Journal) > 0,
		AddressKept: len(h.SealedAddress) > 0, Decision: ExportedDecision{State: "none"}, Sides: []ExportedSide{}, UnderWay: []string{},
		Orders: ordersOf(h.Orders), Story: explain.Story(h.Journal)}
	if d := &rec.Decision; d.State.IsDecision() {
		a.Decision = ExportedDecision{State: d.State.String(), At: d.At.Time(), Side: d.Side.String()}
		if d.Erased {
			a.Decision.Side = "by the person's wish to be forgotten"
		}
	}
	for _, side := range consent.Sides {
		seen := &rec.Seen[side]
		s := ExportedSide{Side: side.String(), Shows: seen.State.String(), Dated: seen.Shown.Time(), Read: seen.ReadBegan.Time(), ID: seen.Ref,
			Deliveries: []ExportedDelivery{}}
		for i := range rec.Sent[side] {
			if d := &rec.Sent[side][i]; d.State != consent.Unseen {
				s.Deliveries = append(s.Deliveries, ExportedDelivery{State: d.State.String(), Began: d.Started.Time(), Ended: d.Ended.Time(),
					Outcome: d.Outcome.String(), Point: d.Point.String(), Code: d.Code})
			}
		}
		a.Sides = append(a.Sides, s)
	}
	for _, held := range h.Held {
		a.Waiting = &ExportedWait{Consent: held.Hold.Consent.Time(), Until: held.Hold.Until.Time(), Customer: held.Hold.Customer}
	}
	for _, claim := range h.Claims {
		a.UnderWay = append(a.UnderWay, string(claim.Sync))
	}
	return a
}

// readSides adds what both sides show now. They are asked by identifiers only (I8). What cannot be read does not keep back the rest.
func (j *job) readSides(ctx context.Context, e *Export, f found) {
	e.Shopify.People, e.Listrak.People = []ShownPerson{}, []ShownPerson{}
	account, err := j.Engine.Connect(ctx, j.merchant)
	if err != nil {
		e.Shopify.Problem, e.Listrak.Problem = "The merchant has no access to it at the moment.", "The merchant has no access to it at the moment."
		return
	}
	seen := map[string]bool{}
	add := func(belongs func(shopify.Customer) bool, customers []shopify.Customer, err error) {
		if err != nil {
			e.Shopify.Problem = problemOf(err)
			return
		}
		for _, c := range customers {
			if c.ID == "" || seen[string(c.ID)] || !belongs(c) {
				continue
			}
			seen[string(c.ID)] = true
			shown := ShownPerson{ID: string(c.ID), Email: c.Email, State: string(c.EmailConsent.State), Dated: c.EmailConsent.UpdatedAt}
			if c.Phone != "" {
				shown.Phone, shown.SMSState, shown.SMSDated = c.Phone, string(c.SMSConsent.State), c.SMSConsent.UpdatedAt
			}
			e.Shopify.People = append(e.Shopify.People, shown)
		}
	}
	if len(f.customers) > 0 {
		ids := make([]shopify.CustomerID, len(f.customers))
		for i, id := range f.customers {
			ids[i] = shopify.CustomerID(id)
		}
		customers, err := account.Shopify.CustomersByID(ctx, ids)
		add(func(shopify.Customer) bool { return true }, customers, err)
	}
	for _, raw := range j.emails() {
		address, err := consent.NormaliseEmail(raw)
		if err != nil {
			continue
		}
		customers, err := account.Shopify.CustomersByEmail(ctx, []string{address})
		add(func(c shopify.Customer) bool {
			its, err := consent.NormaliseEmail(c.Email) // one that cannot be normalised is nobody's that was asked for
			return err == nil && its == address
		}, customers, err)
		contact, ok, err := account.Listrak.Contact(ctx, address)
		switch {
		case err != nil:
			e.Listrak.Problem = problemOf(err)
		case ok:
			e.Listrak.People = append(e.Listrak.People, ShownPerson{ID: contact.EmailKey, Email: contact.Address, State: string(contact.State),
				Dated: contact.Date, Method: contact.Method})
		}
	}
	if !account.Settings.SMS.Enabled() {
		// Nobody is held by their phone, and Shopify may not let the app ask for one.
		return
	}
	// Those of the request, and what the customers have in Shopify.
	phones := j.phones()
	for _, p := range e.Shopify.People {
		phones = append(phones, p.Phone)
	}
	asked := map[string]bool{}
	for _, raw := range phones {
		phone, err := consent.NormalisePhone(raw, j.country)
		if err != nil || asked[phone] {
			continue
		}
		asked[phone] = true
		customers, err := account.Shopify.CustomersByPhone(ctx, []string{phone})
		add(func(c shopify.Customer) bool {
			its, err := consent.NormalisePhone(c.Phone, j.country)
			return err == nil && its == phone
		}, customers, err)
		if account.SMS == nil {
			continue
		}
		contact, ok, err := account.SMS.Contact(ctx, phone)
		switch {
		case err != nil:
			e.Listrak.Problem = problemOf(err)
		case ok:
			e.Listrak.People = append(e.Listrak.People, ShownPerson{Phone: contact.Phone, SMSState: string(contact.State), SMSDated: contact.Date})
		}
	}
}

func problemOf(err error) string {
	if f := failure.As(err); f != nil {
		return "It could not be read: " + f.Code + "."
	}
	return "It could not be read."
}

// plainName is what may stand in a file's name as it is.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,80}$`)

// fileName names the files of a request. Ids of webhooks come from outside, and must not lead out of the directory.
func fileName(merchant, id string) string {
	if !plainName.MatchString(id) {
		sum := sha256.Sum256([]byte(id))
		id = "request-" + hex.EncodeToString(sum[:8])
	}
	return merchant + "-" + id
}

// write writes both files and returns the path of the JSON.
func (j *job) write(e *Export) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(e); err != nil {
		return "", errors.New("write an export: it cannot be encoded") // the cause could quote the person
	}
	directory, err := filepath.Abs(j.ExportDirectory)
	if err != nil {
		return "", fmt.Errorf("write an export: %w", err)
	}
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return "", fmt.Errorf("write an export: %w", err)
	}
	path := filepath.Join(directory, fileName(j.merchant, j.request.ID))
	for suffix, content := range map[string][]byte{".json": text.Bytes(), ".txt": []byte(e.Text())} {
		if err := writeFile(path+suffix, content); err != nil {
			return "", fmt.Errorf("write an export: %w", err)
		}
	}
	return path + ".json", nil
}

// writeFile writes a file that nobody else may read, whole or not at all.
func writeFile(path string, content []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".export-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	// CreateTemp makes it 0600.
	if _, err = file.Write(content); err != nil {
		return errors.Join(err, file.Close())
	}
	if err = file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// Text is the export for reading.
func (e *Export) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("What Concord holds of you for %s, on %s UTC", e.Merchant, stamp(e.GeneratedAt))
	line("Asked for: %s", strings.Join(strings.Fields(e.AskedFor.Email+" "+e.AskedFor.Phone), ", "))
	line("")
	line("Concord keeps consent to marketing in agreement between a shop (Shopify) and its newsletter and text messages (Listrak). It keeps")
	line("addresses and phone numbers only as hashes, except while a delivery needs one.")
	told := make(map[string]bool)
	for _, a := range e.Addresses {
		line("")
		line("%s, kept under the hash %s", a.Channel, a.Hash)
		if !a.Known {
			line("  Nothing is held.")
			continue
		}
		line("  Decision: %s", words(a.Decision.State, a.Decision.Side, stamp(a.Decision.At)))
		for _, s := range a.Sides {
			line("  %s last showed: %s", s.Side, words(s.Shows, stamp(s.Dated), s.ID))
			for _, d := range s.Deliveries {
				line("    told on %s: %s", stamp(d.Began), words(d.State, d.Outcome, d.Code))
			}
		}
		if a.AddressKept {
			line("  The address itself is kept too, encrypted, because a delivery needs it.")
		}
		if w := a.Waiting; w != nil {
			line("  A consent of %s waits for an order until %s.", stamp(w.Consent), stamp(w.Until))
		}
		for _, o := range a.Orders {
			told[o.ID] = true
			line("  Order %s of %s is remembered until %s.", o.ID, stamp(o.CreatedAt), stamp(o.Until))
		}
		if a.Events != nil {
			for _, m := range a.Events.Messages {
				line("  Message %s: %s", m.ID, words(m.Title, deed("sent", m.Sent), deed("opened", m.Opened), deed("clicked", m.Clicked),
					deed("bounced", m.Bounced), deed("unsubscribed", m.Unsubscribed), deed("complained", m.Complained)))
			}
			if last := words(deed("sent", a.Events.LastSent), deed("opened", a.Events.LastOpened), deed("clicked", a.Events.LastClicked)); last != "" {
				line("  Last message %s. That stands in Shopify too, with how often within 30 days.", last)
			}
		}
		for _, s := range a.Story {
			line("  %s  %s", stamp(s.At), s.Text)
		}
	}
	line("")
	for _, c := range e.Customers {
		line("Shopify customer %s is linked to these hashes.", c.ID)
	}
	for _, o := range e.Orders {
		if told[o.ID] {
			continue
		}
		line("Order %s of %s is remembered until %s.", o.ID, stamp(o.CreatedAt), stamp(o.Until))
	}
	for _, u := range e.Unreadable {
		line("%s has something for a phone number that is none, seen on %s: %s", u.Side, stamp(u.Seen), u.Text)
	}
	for _, r := range e.Requests {
		line("Privacy request %s", words(r.ID, r.Kind, "of "+stamp(r.Received), r.Outcome))
	}
	for _, side := range []struct {
		name string
		ShownNow
	}{{"Shopify", e.Shopify}, {"Listrak", e.Listrak}} {
		line("")
		line("%s shows now:", side.name)
		if side.Problem != "" {
			line("  %s", side.Problem)
		}
		for _, p := range side.People {
			line("  %s", words(p.ID, p.Email, p.State, stamp(p.Dated), p.Method, p.Phone, p.SMSState, stamp(p.SMSDated)))
		}
		if side.Problem == "" && len(side.People) == 0 {
			line("  nobody")
		}
	}
	return b.String()
}

// words joins what is there.
func words(parts ...string) string {
	var given []string
	for _, part := range parts {
		if part != "" {
			given = append(given, part)
		}
	}
	return strings.Join(given, ", ")
}

// deed is what happened with a message and when; empty when it did not.
func deed(what string, at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return what + " on " + stamp(at)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}

package ledger

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/concordsync/concord/internal/consent"
)

// recordFormat is raised when a record is stored in a way that an older build would read wrongly.
const recordFormat = 1

// storedRecord is the JSON of a record, with names of its own: renaming a field of consent.Record must not make stored records
// unreadable. Zero values are left out, since most of a record is empty.
type storedRecord struct {
	Format   int            `json:"v"`
	Decision storedDecision `json:"decision,omitzero"`
	Shopify  storedSide     `json:"shopify,omitzero"`
	Listrak  storedSide     `json:"listrak,omitzero"`
	Hold     storedHold     `json:"hold,omitzero"`
	// Contest is not known to builds of before the brake: they leave it out when they save, and go on without it.
	Contest storedContest `json:"contest,omitzero"`
}

type storedDecision struct {
	State   consent.State   `json:"state,omitzero"`
	At      consent.Instant `json:"at,omitzero"`
	Within  consent.Span    `json:"within,omitzero"`
	Side    consent.Side    `json:"side,omitzero"`
	Keyword bool            `json:"keyword,omitzero"`
	// Erased is not known to builds of before the erasure: to them it is Shopify's no.
	Erased bool `json:"erased,omitzero"`
}

type storedSide struct {
	Seen *storedSighting  `json:"seen,omitempty"`
	Sent []storedDelivery `json:"sent,omitempty"`
}

// IsZero lets omitzero leave out a side that was never heard of; the slice keeps the struct from being comparable.
func (s storedSide) IsZero() bool { return s.Seen == nil && len(s.Sent) == 0 }

type storedSighting struct {
	State     consent.State   `json:"state,omitzero"`
	Shown     consent.Instant `json:"shown,omitzero"`
	Wall      consent.Instant `json:"wall,omitzero"`
	At        consent.Instant `json:"at,omitzero"`
	Within    consent.Span    `json:"within,omitzero"`
	ReadBegan consent.Instant `json:"read,omitzero"`
	GoneAt    consent.Instant `json:"gone,omitzero"`
	Ref       string          `json:"ref,omitzero"`
	Machine   bool            `json:"machine,omitzero"`
	Echo      bool            `json:"echo,omitzero"`
	Inferred  bool            `json:"inferred,omitzero"`
}

type storedDelivery struct {
	State    consent.State   `json:"state,omitzero"`
	Decision consent.Instant `json:"decision,omitzero"`
	Written  consent.Instant `json:"written,omitzero"`
	Started  consent.Instant `json:"started,omitzero"`
	Deadline consent.Instant `json:"deadline,omitzero"`
	Ended    consent.Instant `json:"ended,omitzero"`
	Outcome  consent.Outcome `json:"outcome,omitzero"`
	Point    consent.Point   `json:"point,omitzero"`
	Code     string          `json:"code,omitzero"`
	Try      uint8           `json:"try,omitzero"`
	Spent    bool            `json:"spent,omitzero"`
}

type storedHold struct {
	Consent  consent.Instant `json:"consent,omitzero"`
	Until    consent.Instant `json:"until,omitzero"`
	Customer string          `json:"customer,omitzero"`
	Order    consent.Instant `json:"order,omitzero"`
	Settled  bool            `json:"settled,omitzero"`
}

type storedContest struct {
	Flips    [consent.ContestFlips]consent.Instant `json:"flips,omitzero"`
	Since    consent.Instant                       `json:"since,omitzero"`
	Word     consent.Instant                       `json:"word,omitzero"`
	Row      uint8                                 `json:"row,omitzero"`
	Contests uint8                                 `json:"contests,omitzero"`
}

// The conversions below name no field: a field that consent gains and that is missing here stops the build.

func encodeRecord(r consent.Record) (string, error) {
	text, err := json.Marshal(storedRecord{
		Format:   recordFormat,
		Decision: storedDecision(r.Decision),
		Shopify:  sideToStore(r.Seen[consent.Shopify], r.Sent[consent.Shopify]),
		Listrak:  sideToStore(r.Seen[consent.Listrak], r.Sent[consent.Listrak]),
		Hold:     storedHold(r.Hold),
		Contest:  storedContest(r.Contest),
	})
	if err != nil {
		return "", fmt.Errorf("encode record: %w", err)
	}
	return string(text), nil
}

// recordCache remembers records by their texts. Rounds read the same few people again and again, as far as their polls reach back, and to
// decode one costs as much as to query it. The thousands of a full read come once and would only push those out.
type recordCache struct {
	mu      sync.Mutex
	records map[string]consent.Record
}

// maxRecords bounds what is remembered to a few megabytes.
const maxRecords = 2048

func (c *recordCache) decode(text []byte) (consent.Record, error) {
	c.mu.Lock()
	known, ok := c.records[string(text)]
	c.mu.Unlock()
	if ok {
		return known, nil
	}
	r, err := decodeRecord(text)
	if err != nil {
		return r, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.records == nil:
		c.records = map[string]consent.Record{}
	case len(c.records) >= maxRecords:
		clear(c.records)
	}
	c.records[string(text)] = r
	return r, nil
}

func decodeRecord(text []byte) (consent.Record, error) {
	var s storedRecord
	if err := json.Unmarshal(text, &s); err != nil {
		// The decoder's text can quote a value; ids and codes are in there, and nobody is helped by them.
		return consent.Record{}, fmt.Errorf("decode record: %d bytes are not a stored record; restore a backup", len(text))
	}
	if s.Format > recordFormat {
		return consent.Record{}, fmt.Errorf("decode record: format %d, this build knows %d: %w", s.Format, recordFormat, ErrNewerSchema)
	}
	r := consent.Record{Decision: consent.Decision(s.Decision), Hold: consent.Hold(s.Hold), Contest: consent.Contest(s.Contest)}
	for side, stored := range [2]storedSide{consent.Shopify: s.Shopify, consent.Listrak: s.Listrak} {
		if stored.Seen != nil {
			r.Seen[side] = consent.Sighting(*stored.Seen)
		}
		if len(stored.Sent) > consent.RememberedDeliveries {
			return consent.Record{}, fmt.Errorf("decode record: %d deliveries, this build keeps %d: %w",
				len(stored.Sent), consent.RememberedDeliveries, ErrNewerSchema)
		}
		for i, delivery := range stored.Sent {
			r.Sent[side][i] = consent.Delivery(delivery)
		}
	}
	return r, nil
}

func sideToStore(seen consent.Sighting, sent [consent.RememberedDeliveries]consent.Delivery) storedSide {
	var s storedSide
	if seen != (consent.Sighting{}) {
		stored := storedSighting(seen)
		s.Seen = &stored
	}
	n := len(sent)
	for n > 0 && sent[n-1] == (consent.Delivery{}) {
		n--
	}
	for _, delivery := range sent[:n] {
		s.Sent = append(s.Sent, storedDelivery(delivery))
	}
	return s
}

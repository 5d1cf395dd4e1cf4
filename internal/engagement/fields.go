package engagement

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/shopify"
)

// countedFor is over how long a customer's messages are counted.
const countedFor = 30 * 24 * time.Hour

// field is one metafield of customers: when something last happened, or how often within countedFor.
type field struct {
	shopify.Definition
	channel consent.Channel
	mark    Mark
	counts  bool
}

var fields = []field{
	{shopify.Definition{Key: "last_email_sent", Name: "Last email sent", Type: shopify.DateTimeField}, consent.Email, Sent, false},
	{shopify.Definition{Key: "last_email_opened", Name: "Last email opened", Type: shopify.DateTimeField}, consent.Email, Opened, false},
	{shopify.Definition{Key: "last_email_clicked", Name: "Last email clicked", Type: shopify.DateTimeField}, consent.Email, Clicked, false},
	{shopify.Definition{Key: "emails_sent_30_days", Name: "Emails sent, 30 days", Type: shopify.IntegerField}, consent.Email, Sent, true},
	{shopify.Definition{Key: "emails_opened_30_days", Name: "Emails opened, 30 days", Type: shopify.IntegerField}, consent.Email, Opened, true},
	{shopify.Definition{Key: "emails_clicked_30_days", Name: "Emails clicked, 30 days", Type: shopify.IntegerField}, consent.Email, Clicked, true},
	{shopify.Definition{Key: "last_sms_sent", Name: "Last SMS sent", Type: shopify.DateTimeField}, consent.SMS, Sent, false},
	{shopify.Definition{Key: "last_sms_clicked", Name: "Last SMS clicked", Type: shopify.DateTimeField}, consent.SMS, Clicked, false},
	{shopify.Definition{Key: "sms_sent_30_days", Name: "SMS sent, 30 days", Type: shopify.IntegerField}, consent.SMS, Sent, true},
	{shopify.Definition{Key: "sms_clicked_30_days", Name: "SMS clicked, 30 days", Type: shopify.IntegerField}, consent.SMS, Clicked, true},
}

// Definitions are the metafields of customers that we write.
func Definitions() []shopify.Definition {
	definitions := make([]shopify.Definition, len(fields))
	for n, f := range fields {
		definitions[n] = f.Definition
		definitions[n].Description = "From Listrak, by Concord."
	}
	return definitions
}

// told is what Shopify was told of one person on one channel: of each field of the channel, in the order of fields, its value. A date is in
// Unix seconds. untold stands for a field that was never told.
type told []int64

const untold = -1

// doubted stands for a field of which nobody knows what Shopify has, and foreign for one that may be there of another address, which the customer
// had before: that one is overwritten even if the thing never happened to this one.
const (
	doubted = -2
	foreign = -3
)

// toldVersion begins what told is encoded as. Another value is of another version, or ledger.ForeignFields.
const toldVersion = 1

var errTold = errors.New("what was told of a person is not readable: it is of a newer version of Concord, or the ledger is damaged")

// doubtful is what was told, as far as that is sure: of what was ever told, or may have been, nothing is.
func (t told) doubtful() told {
	unsure := make(told, len(t))
	for n := range unsure {
		unsure[n] = doubted
		if t[n] == foreign {
			unsure[n] = foreign
		}
	}
	return unsure
}

// decodeTold reads what encode has written: the values, and to which customer they were told, empty when to none.
func decodeTold(raw []byte, channel consent.Channel) (t told, to string, err error) {
	value := int64(untold)
	if string(raw) == ledger.ForeignFields {
		value, raw = foreign, nil
	}
	if len(raw) > 0 {
		if raw[0] != toldVersion {
			return nil, "", errTold
		}
		raw = raw[1:]
	}
	some := len(raw) > 0
	for _, f := range fields {
		if f.channel != channel {
			continue
		}
		if some {
			n := 0
			if value, n = binary.Varint(raw); n <= 0 {
				return nil, "", errTold
			}
			raw = raw[n:]
		}
		t = append(t, value)
	}
	return t, string(raw), nil
}

// customerNumber is what tells customers of a store apart; their ids are long, and there is one for each person.
func customerNumber(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

// encode writes what was told, and to which customer; "" when to none.
func (t told) encode(to string) []byte {
	out := []byte{toldVersion}
	for _, value := range t {
		out = binary.AppendVarint(out, value)
	}
	return append(out, to...)
}

// change is what to tell Shopify of one person, and what it has been told after that.
type change struct {
	fields []shopify.Metafield
	after  told
	// due is when what a person's counts say changes although nothing happens: a message falls out of countedFor. Zero for never.
	due consent.Instant
	// customer is whom it is told of.
	customer shopify.CustomerID
}

// changeOf compares what a record says now with what was told. Fields of kinds that are off stay as they are, and of somebody to whom a thing
// never happened nothing is told, unless the customer may have a field of another address.
func changeOf(r Record, channel consent.Channel, customer shopify.CustomerID, before told, now time.Time, on func(consent.Sync) bool) change {
	c := change{after: append(told(nil), before...), customer: customer}
	from := now.Add(-countedFor)
	n := -1
	for _, f := range fields {
		if f.channel != channel {
			continue
		}
		n++
		if !on(f.mark.Kind(channel)) {
			continue
		}
		value := r.last[f.mark]
		if f.counts {
			value = int64(r.Since(f.mark, from))
		}
		if value == before[n] || value == 0 && (before[n] == untold || !f.counts && before[n] != foreign) {
			continue
		}
		c.after[n] = value
		text := strconv.FormatInt(value, 10)
		if !f.counts {
			// Of what never happened, where another address has left a date: metafieldsSet takes no empty one, and 1970 is in no segment of people
			// who did something lately.
			text = time.Unix(value, 0).UTC().Format(time.RFC3339)
		}
		c.fields = append(c.fields, shopify.Metafield{Customer: customer, Key: f.Key, Type: f.Type, Value: text})
	}
	for i := range r.states {
		for _, mark := range [...]Mark{Sent, Opened, Clicked} {
			if at := r.states[i].at[mark]; at != 0 && at >= from.Unix() && on(mark.Kind(channel)) {
				if ends := consent.InstantOf(time.Unix(at, 0).Add(countedFor + time.Second)); c.due == 0 || ends < c.due {
					c.due = ends
				}
			}
		}
	}
	return c
}

// toldPerson is what the ledger has to remember of a change that was told.
func (c change) toldPerson(p ledger.DuePerson) ledger.ToldPerson {
	return ledger.ToldPerson{Subject: p.Subject, Version: p.Version, Told: c.after.encode(customerNumber(string(c.customer))), DueAt: c.due}
}

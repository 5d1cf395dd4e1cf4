package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/merchant"
)

// EventsPath is where a merchant's email and SMS events go, below the door's address.
func EventsPath(merchant string) string { return eventsPrefix + merchant }

const (
	eventsPrefix = "/engagement/"
	// HeaderSignature signs a body of events: "sha256=" and the HMAC-SHA-256 of the body under the merchant's secret for events, in hexadecimal.
	HeaderSignature = "X-Concord-Signature"
	signaturePrefix = "sha256="
	// pushesAtOnce bounds the bodies of events that are taken in at the same time: each is a transaction of its own.
	pushesAtOnce = 8
)

// Events takes in a body of events; *engagement.Keeper does.
type Events interface {
	Push(ctx context.Context, merchant string, body []byte) (engagement.Report, error)
}

// eventMerchants are the merchants with their secrets for events in the place of those for webhooks.
type eventMerchants struct{ Merchants }

// WebhookSecrets returns the secrets for events.
func (m eventMerchants) WebhookSecrets(ctx context.Context, id string) ([]string, error) {
	return m.EventSecrets(ctx, id)
}

var _ Merchants = (*merchant.Store)(nil)

// takeEvents answers a body of events. What it says of them is JSON, the engagement.Report; of a body that was refused for what it holds, why.
//
//	200  kept, or there already, or refused for good: the report tells of each
//	400  neither a JSON array nor an object; or the body was cut short
//	401  the signature is missing, malformed or wrong, or the merchant has no secret for events
//	404  no such merchant
//	405  another method than POST
//	408  the body did not come in time
//	413  the body is longer than MaxBody, or has too many events: send fewer at once
//	415  another type than application/cloudevents-batch+json, application/cloudevents+json or application/json; or compressed
//	503  the ledger or Shopify is away, or too much is under way: send it again
func (d *Door) takeEvents(w http.ResponseWriter, r *http.Request, id string) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	signature, ok := eventSignature(r.Header)
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	encoding := r.Header.Get("Content-Encoding")
	switch {
	case !ok:
		d.refuse(w, http.StatusUnauthorized, "events unsigned")
		return
	case err != nil || kind != "application/json" && kind != "application/cloudevents-batch+json" && kind != "application/cloudevents+json",
		encoding != "" && encoding != "identity":
		d.refuse(w, http.StatusUnsupportedMediaType, "events of another type")
		return
	case r.ContentLength > MaxBody:
		d.refuse(w, http.StatusRequestEntityTooLarge, "events too large")
		return
	}
	from, err := d.eventSenders.find(ctx, id)
	switch {
	case errors.Is(err, ledger.ErrUnknownMerchant):
		d.refuse(w, http.StatusNotFound, "events of an unknown merchant")
		return
	case err != nil:
		d.Log.Debug("Events could not be verified", "merchant", id, "error", err.Error())
		d.refuse(w, http.StatusServiceUnavailable, "ledger away")
		return
	}
	body, status, why := d.readBody(w, r)
	defer d.bodies.free(body)
	if status == http.StatusOK && !from.signed(body.bytes, signature) {
		status, why = http.StatusUnauthorized, "events forged"
	}
	if status != http.StatusOK {
		d.refuse(w, status, why)
		return
	}
	select {
	case d.pushes <- struct{}{}:
		defer func() { <-d.pushes }()
	case <-ctx.Done():
		d.refuse(w, http.StatusServiceUnavailable, "too many events at once")
		return
	}
	report, err := d.Events.Push(ctx, from.id, body.bytes)
	switch {
	case errors.Is(err, engagement.ErrNoBatch):
		d.refuseEvents(w, http.StatusBadRequest, "no batch of events", err)
		return
	case errors.Is(err, engagement.ErrTooMany):
		d.refuseEvents(w, http.StatusRequestEntityTooLarge, "events too large", err)
		return
	case err != nil:
		d.Log.Warn("Events were not taken in; they have to be sent again", "merchant", from.id, "error", err.Error())
		d.refuse(w, http.StatusServiceUnavailable, "events not taken in")
		return
	}
	d.counts.add("events", Kept)
	w.Header().Set("Content-Type", "application/json")
	// Whoever is gone sends it again, and everything is a duplicate.
	_ = json.NewEncoder(w).Encode(report)
}

// refuseEvents refuses a body of events and answers why. Its sender has signed it, and is somebody who has to mend something.
func (d *Door) refuseEvents(w http.ResponseWriter, status int, why string, err error) {
	w.Header().Set("Content-Type", "application/json")
	d.refuse(w, status, why)
	// Whoever is gone has the status in their log, or sends it again.
	_ = json.NewEncoder(w).Encode(struct {
		Error string `json:"error"`
	}{err.Error()})
}

// SignEvents is the signature of a body of events, as HeaderSignature carries it.
func SignEvents(secret string, body []byte) string {
	return signaturePrefix + hex.EncodeToString(sum(hmac.New(sha256.New, []byte(secret)), body))
}

func eventSignature(header http.Header) ([]byte, bool) {
	text, ok := one(header, HeaderSignature)
	if !ok || !strings.HasPrefix(text, signaturePrefix) {
		return nil, false
	}
	signature, err := hex.DecodeString(text[len(signaturePrefix):])
	return signature, err == nil && len(signature) == sha256.Size
}

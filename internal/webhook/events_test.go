package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/engagement"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/ledger/ledgertest"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/webhook"
)

const eventsSecret = "a-secret-for-events-alone"

// pushes counts the bodies that reach the keeper, and fails them while away is set.
type pushes struct {
	taken atomic.Int64
	away  atomic.Bool
}

// tooMany stands for a body with more events than are taken in at once.
var tooMany = []byte(`["too many"]`)

func (p *pushes) Push(_ context.Context, id string, body []byte) (engagement.Report, error) {
	switch {
	case p.away.Load():
		return engagement.Report{}, ledger.ErrUnreachable
	case bytes.Equal(body, tooMany):
		return engagement.Report{}, engagement.ErrTooMany
	case !bytes.HasPrefix(body, []byte("[")):
		return engagement.Report{}, engagement.ErrNoBatch
	}
	p.taken.Add(1)
	return engagement.Report{Taken: 1, Refused: 1, Reasons: []engagement.Reason{{Index: 1, Why: id}}}, nil
}

func TestOnlySignedEventsReachTheKeeper(t *testing.T) {
	t.Parallel()
	b := newBench(t, ledgertest.SQLite(t))
	p := &pushes{}
	b.door.Events = p
	_, err := b.merchants.Update(t.Context(), "acme", nil, &merchant.Credentials{EventsSecret: eventsSecret})
	require.NoError(t, err)
	send := func(method, id, kind, signature string, body []byte) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, b.address+webhook.EventsPath(id), bytes.NewReader(body))
		require.NoError(t, err)
		request.Header.Set("Content-Type", kind)
		if signature != "" {
			request.Header.Set(webhook.HeaderSignature, signature)
		}
		response, err := b.client.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(text)
	}
	const batch = "application/cloudevents-batch+json"
	body := []byte(`[{"id":"1"},{}]`)
	signed := webhook.SignEvents(eventsSecret, body)
	large := bytes.Repeat([]byte(" "), webhook.MaxBody+1)
	for what, c := range map[string]struct {
		method, id, kind, signature string
		body                        []byte
		want                        int
	}{
		"unsigned":               {http.MethodPost, "acme", batch, "", body, 401},
		"a wrong signature":      {http.MethodPost, "acme", batch, webhook.SignEvents("another-secret", body), body, 401},
		"Shopify's secret":       {http.MethodPost, "acme", batch, webhook.SignEvents(secret, body), body, 401},
		"another body":           {http.MethodPost, "acme", batch, signed, []byte(`[]`), 401},
		"no form of a signature": {http.MethodPost, "acme", batch, "sha256=zz", body, 401},
		"another type":           {http.MethodPost, "acme", "text/csv", signed, body, 415},
		"an unknown merchant":    {http.MethodPost, "nobody", batch, signed, body, 404},
		"no name of a merchant":  {http.MethodPost, "../acme", batch, signed, body, 404},
		"another method":         {http.MethodPut, "acme", batch, signed, body, 405},
		"too large":              {http.MethodPost, "acme", batch, webhook.SignEvents(eventsSecret, large), large, 413},
		"no batch":               {http.MethodPost, "acme", batch, webhook.SignEvents(eventsSecret, []byte(`7`)), []byte(`7`), 400},
		"too many events":        {http.MethodPost, "acme", batch, webhook.SignEvents(eventsSecret, tooMany), tooMany, 413},
	} {
		status, text := send(c.method, c.id, c.kind, c.signature, c.body)
		require.Equal(t, c.want, status, what)
		switch what {
		case "no batch":
			require.JSONEq(t, `{"error":"want a JSON array of CloudEvents 1.0 events, or one such event"}`, text)
		case "too many events":
			require.JSONEq(t, `{"error":"more than 10000 events at once"}`, text)
		default:
			require.Empty(t, text, what)
		}
		require.NotContains(t, text, eventsSecret, what)
	}
	require.Zero(t, p.taken.Load(), "nothing unsigned reached the keeper")

	status, text := send(http.MethodPost, "acme", batch, signed, body)
	require.Equal(t, 200, status)
	var report engagement.Report
	require.NoError(t, json.Unmarshal([]byte(text), &report))
	require.Equal(t, engagement.Report{Taken: 1, Refused: 1, Reasons: []engagement.Reason{{Index: 1, Why: "acme"}}}, report)

	p.away.Store(true)
	status, _ = send(http.MethodPost, "acme", batch, signed, body)
	require.Equal(t, 503, status, "it has to be sent again")
}

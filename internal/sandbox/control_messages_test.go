package sandbox

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// TestMadeUpRecipientsActByPercent: of few recipients as of many, and within the time.
func TestMadeUpRecipientsActByPercent(t *testing.T) {
	t.Parallel()
	sb, _, _ := start(t)
	store, err := sb.List(7)
	require.NoError(t, err)
	sent, err := SendMessage(store, MessageAct{Subject: "Spring", Recipients: 20, OpenPercent: 50, ClickPercent: 20, When: When{Ago: Duration(time.Second)}})
	require.NoError(t, err)
	require.Equal(t, list.Summary{Sent: 20, Opens: 10, Clicks: 4}, sent.Summary)

	rapid.Check(t, func(t *rapid.T) {
		recipients, opens := rapid.IntRange(0, 300).Draw(t, "recipients"), rapid.IntRange(0, 100).Draw(t, "percent who open")
		clicks := rapid.IntRange(0, opens).Draw(t, "percent who click")
		within := time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(t, "within"))
		// Long enough ago that all have acted by now.
		act := MessageAct{Subject: "Spring", Recipients: recipients, OpenPercent: opens, ClickPercent: clicks, Within: Duration(within),
			When: When{Ago: Duration(within + time.Second)}}
		sent, err := SendMessage(store, act)
		require.NoError(t, err)
		require.Equal(t, recipients, sent.Summary.Sent)
		require.Equal(t, recipients*opens/100, sent.Summary.Opens)
		require.Equal(t, recipients*clicks/100, sent.Summary.Clicks)
	})
}

func TestEngagementShowsTheMetafieldsOfACustomer(t *testing.T) {
	t.Parallel()
	sb, _, client := start(t)
	store, err := sb.Shop(domain)
	require.NoError(t, err)
	require.Empty(t, store.DefineMetafield(shop.Definition{Namespace: "n", Key: "who", Type: "number_integer"}))
	for n, c := range []shop.NewCustomer{{Email: "ann@example.com"}, {Phone: ann}} {
		id, err := store.CreateCustomer(c)
		require.NoError(t, err)
		require.Empty(t, store.SetMetafields([]shop.MetafieldInput{{Owner: id, Namespace: "n", Key: "who", Value: strconv.Itoa(n + 1)}}))
	}
	show := func(query string) (int, string, EngagementView) {
		status, answer := send(t, client, request(t, http.MethodGet, sb.ControlURL()+"/shops/"+domain+"/engagement"+query, ""))
		var view EngagementView
		require.NoError(t, json.Unmarshal([]byte(answer), &view), answer)
		return status, answer, view
	}
	for query, who := range map[string]map[string]string{"": nil, "?email=ann@example.com": {"n.who": "1"}, "?phone=%2B15550001111": {"n.who": "2"}} {
		status, answer, view := show(query)
		require.Equal(t, http.StatusOK, status, answer)
		require.Equal(t, who, view.Metafields, query)
	}
	for _, query := range []string{"?email=bob@example.com", "?phone=%2B15550002222"} {
		status, answer, _ := show(query)
		require.Equal(t, http.StatusNotFound, status, answer)
	}
}

package sandbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/sandbox/list"
)

// Our client and the sandbox are written from one contract by different hands: here they meet.
func TestOurListrakClientMeetsTheSandbox(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("America/New_York")
	require.NoError(t, err)
	for _, same := range []list.SameState{list.MovesDates, list.AnswersError, list.KeepsDates} {
		t.Run(string(same), func(t *testing.T) {
			t.Parallel()
			sb, _, http := start(t)
			ctx := t.Context()
			store := sb.AddList(list.Config{ID: 8, ClientID: "c8", Secret: "s8", Zone: zone, SameState: same,
				Events: []list.Event{{ID: 1, Name: "Marketing"}, {ID: 2, Name: "Checkout"}}})
			client, err := listrak.New(listrak.Config{BaseURL: sb.ListrakURL(), AuthURL: sb.ListrakAuthURL(), ClientID: "c8",
				ClientSecret: "s8", List: 8, Zone: zone, RatePerSecond: 10000, HTTP: http})
			require.NoError(t, err)
			for _, finding := range client.VerifyAccess(ctx, 1, 2) {
				require.Truef(t, finding.OK, "%s: %s", finding.What, finding.Advice)
			}

			const ann = "o'hara+news/x@example.com"
			_, known, err := client.Contact(ctx, "nobody@example.com")
			require.NoError(t, err)
			require.False(t, known)
			result, err := client.Subscribe(ctx, ann, listrak.SubscribeOptions{EventIDs: []int{2}, ExternalID: "gid://shopify/Customer/1"})
			require.NoError(t, err)
			require.False(t, result.AlreadySo)
			require.Equal(t, began, result.ServerTime)
			view, _ := store.Contact(ann)
			require.Equal(t, []int{2}, view.SubscriptionEvents)
			_, _, err = client.Contact(ctx, ann)
			require.Equal(t, failure.Refused, failure.ClassOf(err), "a slash cannot be looked up")
			read, known, err := client.Contact(ctx, view.EmailKey)
			require.NoError(t, err)
			require.True(t, known)
			require.Equal(t, ann, read.Address)
			require.Equal(t, began, read.Date, "the zone is understood")

			result, err = client.Subscribe(ctx, ann, listrak.SubscribeOptions{EventIDs: []int{1}})
			require.NoError(t, err)
			require.Equal(t, same == list.AnswersError, result.AlreadySo)
			_, err = client.Unsubscribe(ctx, ann)
			require.NoError(t, err)
			_, err = client.Unsubscribe(ctx, ann)
			require.NoError(t, err)
			_, err = client.Subscribe(ctx, ann, listrak.SubscribeOptions{})
			require.NoError(t, err)
			view, _ = store.Contact(ann)
			require.Equal(t, list.Unsubscribed, view.State, "without the override nobody is subscribed again")
			_, err = client.Subscribe(ctx, ann, listrak.SubscribeOptions{Override: true, EventIDs: []int{1}})
			require.NoError(t, err)
			view, _ = store.Contact(ann)
			require.Equal(t, list.Subscribed, view.State)
			_, err = client.Unsubscribe(ctx, "nobody@example.com")
			require.NoError(t, err, "already so")
			require.NoError(t, store.Refuse("bo@example.com", list.Suppressed))
			_, err = client.Subscribe(ctx, "bo@example.com", listrak.SubscribeOptions{})
			require.Equal(t, failure.Refused, failure.ClassOf(err))
			_, err = client.Subscribe(ctx, "cy@example.com", listrak.SubscribeOptions{EventIDs: []int{99}})
			require.Equal(t, failure.PersonMustAct, failure.ClassOf(err))

			sb.ExpireListrakTokens()
			_, err = client.Lists(ctx)
			require.NoError(t, err, "a token that is no longer taken is renewed")
			require.NoError(t, store.Configure(func(c *list.Config) { c.Paused = true }))
			_, err = client.Lists(ctx)
			require.Equal(t, failure.PersonMustAct, failure.ClassOf(err), "%v", err)
			require.NoError(t, store.Configure(func(c *list.Config) { c.Paused, c.DoubleOptIn = false, true }))
			for range 2 {
				result, err = client.Subscribe(ctx, "di@example.com", listrak.SubscribeOptions{})
				require.NoError(t, err)
			}
			require.True(t, result.Pending, "the second try says so; the first only when it is read")
			read, _, err = client.Contact(ctx, "di@example.com")
			require.NoError(t, err)
			require.Equal(t, listrak.Pending, read.State)
		})
	}
}

func TestOurListrakClientPages(t *testing.T) {
	t.Parallel()
	sb, _, http := start(t)
	store, err := sb.List(7)
	require.NoError(t, err)
	const people = 12_000
	for n := range people {
		require.NoError(t, store.Subscribe(fmt.Sprintf("p%d@example.com", n), began.Add(time.Duration(n-people)*time.Second), ""))
	}
	require.NoError(t, store.Unsubscribe("p3@example.com", began, ""))
	client, err := listrak.New(listrak.Config{BaseURL: sb.ListrakURL(), AuthURL: sb.ListrakAuthURL(), ClientID: "client",
		ClientSecret: "secret", List: 7, Zone: time.UTC, RatePerSecond: 10000, HTTP: http})
	require.NoError(t, err)
	count := func(query listrak.ContactQuery) int {
		seen := map[string]bool{}
		for pages := 0; pages < 10; pages++ {
			page, err := client.Contacts(t.Context(), query)
			require.NoError(t, err)
			for _, contact := range page.Contacts {
				require.Falsef(t, seen[contact.EmailKey], "read twice")
				seen[contact.EmailKey] = true
			}
			if page.Next == "" {
				return len(seen)
			}
			query.Cursor = page.Next
		}
		t.Fatal("paging does not end")
		return 0
	}
	require.Equal(t, people-1, count(listrak.ContactQuery{State: listrak.Subscribed}))
	require.Equal(t, 60, count(listrak.ContactQuery{State: listrak.Subscribed, Since: began.Add(-time.Minute)}))
	require.Equal(t, 1, count(listrak.ContactQuery{State: listrak.Unsubscribed, Since: began}))
}

package listrak

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVerifyAccess(t *testing.T) {
	t.Parallel()
	const (
		token    = "ok: Listrak gives an access token for the client id and secret"
		list     = `ok: list 77 is "Shop"`
		contacts = "ok: the contacts of the list can be read (area Contact)"
		events   = "ok: the events of the list can be read (area Event): 2"
	)
	for _, row := range []struct {
		what   string
		denied map[string]string // last part of the path → error
		double bool
		events []int
		edit   func(*Config)
		want   []string
	}{
		{what: "all is well", events: []int{5}, want: []string{token, list, contacts, events, `ok: event 5 is "Checkout" and active`}},
		{what: "no subscription points", want: []string{token, list, contacts, events}},
		{what: "double opt-in is told", double: true, want: []string{token, `ok: list 77 is "Shop", with double opt-in (New contacts may stay pending`, contacts, events}},
		{what: "an event is blocked, another missing", events: []int{6, 9}, want: []string{token, list, contacts, events,
			`event 6 ("Old") is blocked (Activate the event`, "event 9 does not exist on the list (See `merchant events`"}},
		{what: "wrong secret", edit: func(c *Config) { c.ClientSecret = "wrong" }, want: []string{
			"Listrak gives no access token for the client id and secret (ERROR_INVALID_CREDENTIALS) (Listrak refused the client id and secret"}},
		{what: "no list", edit: func(c *Config) { c.List = 0 }, want: []string{token, "no Listrak list is set (See `merchant lists`"}},
		{what: "the list does not exist", denied: map[string]string{"77": "ERROR_UNABLE_TO_LOCATE_RESOURCE", "Contact": "ERROR_UNABLE_TO_LOCATE_RESOURCE",
			"Event": "ERROR_UNABLE_TO_LOCATE_RESOURCE"}, events: []int{5}, want: []string{token,
			"list 77 cannot be read (area List) (ERROR_UNABLE_TO_LOCATE_RESOURCE) (The merchant's Listrak list does not exist",
			"the contacts of the list cannot be read (area Contact) (ERROR_UNABLE_TO_LOCATE_RESOURCE) (The merchant's",
			"the events of the list cannot be read (area Event) (ERROR_UNABLE_TO_LOCATE_RESOURCE) (The merchant's"}},
		{what: "an area is missing", denied: map[string]string{"Event": "ERROR_UNAUTHORIZED"}, events: []int{5}, want: []string{token, list, contacts,
			"the events of the list cannot be read (area Event) (ERROR_UNAUTHORIZED) (Listrak gave a token but does not allow this call: in Integrations → " +
				"Integration Management, allow this integration the area Event"}},
		{what: "the IP address is not allowed", denied: map[string]string{"77": "ERROR_UNAUTHORIZED", "Contact": "ERROR_UNAUTHORIZED", "Event": "ERROR_UNAUTHORIZED"},
			want: []string{token, "list 77 cannot be read", "the contacts of the list cannot be read", "the events of the list cannot be read",
				"Listrak gives a token but denies every call (Most likely the IP address of this worker is not allowed"}},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			edit := row.edit
			if edit == nil {
				edit = func(*Config) {}
			}
			client, server := start(t, func(w http.ResponseWriter, r *http.Request) {
				last := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
				if code := row.denied[last]; code != "" {
					answerError(w, map[string]int{"ERROR_UNAUTHORIZED": 401, "ERROR_UNABLE_TO_LOCATE_RESOURCE": 404}[code], code)
					return
				}
				switch last {
				case "77":
					answerJSON(w, 200, map[string]any{"status": 200, "data": map[string]any{"listId": 77, "listName": "Shop", "enableDoubleOptIn": row.double}})
				case "Event":
					answerText(w, 200, "application/json", `{"status":200,"data":[{"eventId":5,"eventName":"Checkout","status":"Active"},`+
						`{"eventId":6,"eventName":"Old","status":"Blocked"}]}`)
				default:
					answerJSON(w, 200, map[string]any{"status": 200, "nextPageCursor": nil, "data": []any{}})
				}
			}, edit)
			var got []string
			for i, f := range client.VerifyAccess(t.Context(), row.events...) {
				line := f.What
				if f.OK {
					line = "ok: " + line
				}
				if f.Advice != "" {
					line += " (" + f.Advice + ")"
				}
				if !f.OK && f.Advice == "" {
					t.Errorf("%q gives no advice", f.What)
				}
				// The rows give as much of a line as tells it from others.
				if i < len(row.want) && strings.HasPrefix(line, row.want[i]) && (!f.OK || f.Advice != "") {
					line = row.want[i]
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			for _, request := range server.requests() {
				if !strings.HasPrefix(request, "GET ") {
					t.Errorf("the check wrote: %s", request)
				}
			}
		})
	}
}

func TestVerifyAccessNeverSaysOKOfAServerOutOfOrder(t *testing.T) {
	t.Parallel()
	client, _ := start(t, func(w http.ResponseWriter, r *http.Request) { answerText(w, 503, "text/html", "<html>") })
	for i, finding := range client.VerifyAccess(t.Context(), 1) {
		if i > 0 && (finding.OK || !strings.Contains(finding.What, "HTTP_503") || finding.Advice != "Try again later") {
			t.Errorf("finding %d: %s", i, fmt.Sprintf("%+v", finding))
		}
	}
}

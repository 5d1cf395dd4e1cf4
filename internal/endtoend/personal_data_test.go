package endtoend

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/shop"
	"github.com/concordsync/concord/workflows"
)

// Nothing that people look at, and nothing that Temporal keeps, may hold an address, also when everything goes wrong on the way (I7).
func TestNoAddressInHistoriesLogsOrTheLedger(t *testing.T) {
	t.Parallel()
	s := newStack(t).work()
	seed := uint64(time.Now().UnixNano())
	t.Logf("fault seed %d", seed)
	faults := []fault.Rule{
		{Kind: fault.TimeoutBefore, Delay: 2500 * time.Millisecond, Chance: 0.03},
		{Kind: fault.TimeoutAfter, Delay: 2500 * time.Millisecond, Chance: 0.03},
		{Kind: fault.ServerError, Chance: 0.1}, {Kind: fault.HTMLError, Chance: 0.1}, {Kind: fault.ErrorAfter, Chance: 0.05},
		{Kind: fault.Throttled, Chance: 0.05}, {Kind: fault.TooManyRequests, Chance: 0.05},
	}
	s.shop.Faults.Set(seed, faults...)
	s.list.Faults.Set(seed+1, faults...)
	s.set(workflows.SyncDelta{consent.EmailToShopify: true, consent.EmailToListrak: true})
	const people = 12
	for i := range people {
		email := fmt.Sprintf("secret-%d@private.example", i)
		if i%2 == 0 {
			must(t, s.list.Subscribe(email, time.Now(), "Website"))
			continue
		}
		id, err := s.shop.CreateCustomer(shop.NewCustomer{Email: email, Consent: shop.Consent{State: shop.Subscribed}})
		must(t, err)
		if i%4 == 1 {
			_, err = s.shop.PlaceOrder(shop.Order{CustomerID: id, Email: email})
			must(t, err)
		}
	}
	s.awaitRounds(6)
	s.shop.Faults.Set(0)
	s.list.Faults.Set(0)
	for i := range people {
		s.settled(fmt.Sprintf("secret-%d@private.example", i))
	}
	struck := len(s.shop.Faults.Struck()) + len(s.list.Faults.Struck())
	if struck == 0 {
		t.Error("no fault struck: the run shows nothing")
	}

	for _, where := range s.everything() {
		if at := strings.Index(strings.ToLower(where.text), "private.example"); at >= 0 {
			t.Errorf("%s holds an address: …%s…", where.name, where.text[max(0, at-80):min(len(where.text), at+40)])
		}
		if at := strings.Index(where.text, clientSecret); at >= 0 {
			t.Errorf("%s holds a secret: …%s…", where.name, where.text[max(0, at-80):at])
		}
	}
}

type place struct{ name, text string }

// everything reads all that Temporal keeps of the merchant, the log, and the ledger's files.
func (s *stack) everything() []place {
	s.t.Helper()
	places := []place{{"the log", s.logs.String()}}
	var token []byte
	for {
		page, err := s.temporal.ListWorkflow(s.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Query: fmt.Sprintf("MerchantId = '%s'", s.id), NextPageToken: token,
		})
		must(s.t, err)
		for _, execution := range page.Executions {
			id := execution.Execution.WorkflowId
			places = append(places, place{"the visibility record of " + id, protojson.Format(execution)})
			description, err := s.temporal.DescribeWorkflowExecution(s.t.Context(), id, execution.Execution.RunId)
			must(s.t, err)
			places = append(places, place{"the description of " + id, protojson.Format(description)})
			history := s.temporal.GetWorkflowHistory(s.t.Context(), id, execution.Execution.RunId, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
			for history.HasNext() {
				event, err := history.Next()
				must(s.t, err)
				// Payloads are base64 in JSON, so the raw bytes are searched as well.
				places = append(places, place{fmt.Sprintf("event %d of %s", event.EventId, id), protojson.Format(event) + event.String()})
			}
		}
		if token = page.NextPageToken; len(token) == 0 {
			break
		}
	}
	path := strings.TrimPrefix(s.settings.Ledger.Reveal(), "sqlite:")
	for _, suffix := range []string{"", "-wal"} {
		if raw, err := os.ReadFile(path + suffix); err == nil {
			places = append(places, place{"the ledger's file " + suffix, string(raw)})
		}
	}
	return places
}

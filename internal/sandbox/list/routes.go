package list

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/sandbox/list/wire"
)

// routes puts the model behind the generated server. Every refusal of the model goes back as an error and is worded in one place
// (NewServer).
type routes struct{ server *Server }

var _ wire.StrictServerInterface = routes{}

// list returns the addressed list if it belongs to the caller's account: others do not exist for the caller.
func (r routes) list(ctx context.Context, id int32) (*Store, error) {
	list := r.server.List(int(id))
	if list == nil || list.Config().ClientID != ctx.Value(accountKey{}) {
		return nil, noResource("listId")
	}
	return list, nil
}

func (r routes) GetLists(ctx context.Context, _ wire.GetListsRequestObject) (wire.GetListsResponseObject, error) {
	client, _ := ctx.Value(accountKey{}).(string)
	all := []wire.List{}
	for _, list := range r.server.account(client) {
		all = append(all, list.wireList())
	}
	return wire.GetLists200JSONResponse{Status: ok(), Data: &all}, nil
}

func (r routes) GetList(ctx context.Context, ask wire.GetListRequestObject) (wire.GetListResponseObject, error) {
	list, err := r.list(ctx, ask.ListID)
	if err != nil {
		return nil, err
	}
	data := list.wireList()
	return wire.GetList200JSONResponse{Status: ok(), Data: &data}, nil
}

func (r routes) GetEvents(ctx context.Context, ask wire.GetEventsRequestObject) (wire.GetEventsResponseObject, error) {
	list, err := r.list(ctx, ask.ListID)
	if err != nil {
		return nil, err
	}
	events := []wire.Event{}
	for _, event := range list.Config().Events {
		id := int32(event.ID)
		events = append(events, wire.Event{EventID: &id, EventName: event.Name, Status: string(event.Status)})
	}
	return wire.GetEvents200JSONResponse{Status: ok(), Data: &events}, nil
}

func (r routes) GetContacts(ctx context.Context, ask wire.GetContactsRequestObject) (wire.GetContactsResponseObject, error) {
	list, err := r.list(ctx, ask.ListID)
	if err != nil {
		return nil, err
	}
	query := Query{State: Subscribed, Original: true, Cursor: Start, Count: 1000}
	if p := ask.Params.SubscriptionState; p != nil {
		query.State = State(*p)
	}
	if p := ask.Params.UseOriginalSubscribeDate; p != nil {
		query.Original = *p
	}
	if p := ask.Params.Cursor; p != nil {
		query.Cursor = *p
	}
	if p := ask.Params.ExternalContactID; p != nil {
		query.ExternalID = *p
	}
	if p := ask.Params.Count; p != nil {
		if query.Count, err = strconv.Atoi(*p); err != nil {
			return nil, invalid("count")
		}
	}
	if query.From, err = parseDate("startDate", ask.Params.StartDate); err != nil {
		return nil, err
	}
	if query.To, err = parseDate("endDate", ask.Params.EndDate); err != nil {
		return nil, err
	}
	fields, err := parseFieldIDs(ask.Params.SegmentationFieldIds)
	if err != nil {
		return nil, err
	}
	page, err := list.ReadContacts(query)
	if err != nil {
		return nil, err
	}
	data := make([]wire.Contact, len(page.Contacts))
	zone := list.Config().Zone
	for n, contact := range page.Contacts {
		data[n] = wireContact(contact, zone, fields)
	}
	answer := wire.GetContacts200JSONResponse{Status: ok(), Data: &data}
	if page.Next != "" {
		answer.NextPageCursor = &page.Next
	}
	return answer, nil
}

func (r routes) GetContact(ctx context.Context, ask wire.GetContactRequestObject) (wire.GetContactResponseObject, error) {
	list, err := r.list(ctx, ask.ListID)
	if err != nil {
		return nil, err
	}
	fields, err := parseFieldIDs(ask.Params.SegmentationFieldIds)
	if err != nil {
		return nil, err
	}
	contact, err := list.ReadContact(ask.ContactIdentifier)
	if err != nil {
		return nil, err
	}
	data := wireContact(contact, list.Config().Zone, fields)
	return wire.GetContact200JSONResponse{Status: ok(), Data: &data}, nil
}

func (r routes) PostContact(ctx context.Context, ask wire.PostContactRequestObject) (wire.PostContactResponseObject, error) {
	list, err := r.list(ctx, ask.ListID)
	if err != nil {
		return nil, err
	}
	upsert := Upsert{Email: ask.Body.EmailAddress, Override: given(ask.Params.OverrideUnsubscribe),
		SubscribedByContact: given(ask.Params.SubscribedByContact), State: State(given(ask.Body.SubscriptionState)),
		UpdateType: UpdateType(given(ask.Params.UpdateType)), NewEmail: given(ask.Params.NewEmailAddress),
		ExternalID: given(ask.Body.ExternalContactID)}
	if p := ask.Params.EventIds; p != nil && *p != "" {
		if upsert.Events, err = parseIDs("eventIds", *p); err != nil {
			return nil, err
		}
	}
	for _, field := range ask.Body.SegmentationFieldValues {
		if upsert.Fields == nil {
			upsert.Fields = map[int]string{}
		}
		upsert.Fields[int(field.SegmentationFieldID)] = field.Value
	}
	key, err := list.Upsert(upsert)
	if err != nil {
		return nil, err
	}
	status := int32(http.StatusCreated)
	return wire.PostContact201JSONResponse{Status: &status, ResourceID: &key}, nil
}

func (s *Store) wireList() wire.List {
	config := s.Config()
	id, hygiene := int32(config.ID), false
	created := WriteDate(s.created, config.Zone)
	return wire.List{ListID: &id, ListName: config.Name, EnableDoubleOptIn: &config.DoubleOptIn, EnableListHygiene: &hygiene,
		BounceHandling: "Standard", BounceUnsubscribeCount: 3, CreateDate: created}
}

func wireContact(c Contact, zone *time.Location, fields []int) wire.Contact {
	state := string(c.State)
	values := []wire.SegmentationFieldValue{}
	for _, id := range fields {
		if value, held := c.Fields[id]; held {
			values = append(values, wire.SegmentationFieldValue{SegmentationFieldID: int32(id), Value: value})
		}
	}
	return wire.Contact{EmailAddress: c.Email, EmailKey: &c.EmailKey, UniversalEmailKey: &c.UniversalEmailKey,
		SubscriptionState: &state, SubscribeDate: WriteDate(c.SubscribedAt, zone),
		ResubscribeDate: WriteDate(c.ResubscribedAt, zone), SubscribeMethod: orNull(c.SubscribeMethod),
		UnsubscribeDate: WriteDate(c.UnsubscribedAt, zone), UnsubscribeMethod: orNull(c.UnsubscribeMethod),
		ExternalContactID: orNull(c.ExternalContactID), SegmentationFieldValues: values}
}

// WriteDate renders a date in the list's zone without an offset, and without the zeros at the end of its fraction, as the
// official document's examples do ("0001-01-01T00:00:00").
func WriteDate(at time.Time, zone *time.Location) *string {
	if at.IsZero() {
		return nil
	}
	text := at.In(zone).Format("2006-01-02T15:04:05.999")
	return &text
}

// parseDate reads a bound in wall time; nil or empty leaves it open.
func parseDate(name string, text *string) (time.Time, error) {
	if text == nil || *text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02"} {
		if at, err := time.Parse(layout, *text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, invalid(name)
}

func parseIDs(name, text string) ([]int, error) {
	var ids []int
	for _, part := range strings.Split(text, ",") {
		id, err := strconv.ParseInt(strings.TrimSpace(part), 10, 32)
		if err != nil {
			return nil, invalid(name)
		}
		if !slices.Contains(ids, int(id)) {
			ids = append(ids, int(id))
		}
	}
	return ids, nil
}

func parseFieldIDs(text *string) ([]int, error) {
	if text == nil || *text == "" {
		return nil, nil
	}
	ids, err := parseIDs("segmentationFieldIds", *text)
	if err == nil && len(ids) > 30 {
		return nil, refuse(CodeTooManyFields, "Too many profile fields were requested.")
	}
	return ids, err
}

func ok() *int32 {
	status := int32(http.StatusOK)
	return &status
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// given is an optional parameter's value, or its zero value.
func given[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}

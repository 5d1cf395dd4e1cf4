package shopify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/shopify/admin"
)

// Codes of failures about marketing activities and metafields.
const (
	// CodeNoActivity: there is no marketing activity of that remote id; store it again.
	CodeNoActivity = "MARKETING_ACTIVITY_DOES_NOT_EXIST"
	// CodeNoOwner: the customer of a metafield does not exist any more.
	CodeNoOwner = "OWNER_NOT_FOUND"
)

// Medium is how a message reached people.
type Medium uint8

// The media.
const (
	ByEmail Medium = iota + 1
	// BySMS: Shopify has no channel for SMS (contracts/shopify.md 6.1), so that those activities stand under REFERRAL, what a link in a
	// text message is, with the tactic MESSAGE and the UTM medium sms, which tell them apart.
	BySMS
)

// MarketingActivity is a message that was sent by another system than Shopify.
type MarketingActivity struct {
	// RemoteID is ours and names the activity for ever. It is the UTM campaign too, which Shopify demands (contracts/shopify.md 6.1:
	// NON_HIERARCHIAL_REQUIRES_UTM_URL_PARAMETER), wants to be unique, and never lets change.
	RemoteID string
	Title    string
	Medium   Medium
	// Automated: it is sent again and again, one by one, rather than once to many.
	Automated bool
	// Start is when it was first sent, zero when unknown.
	Start time.Time
	// URL is where it can be looked at in the other system.
	URL string
}

// UpsertActivity stores an activity, or brings one of the same remote id up to date.
func (c *Client) UpsertActivity(ctx context.Context, activity MarketingActivity) error {
	input := admin.MarketingActivityUpsertExternalInput{
		RemoteId: activity.RemoteID, Title: activity.Title, RemoteUrl: activity.URL, Status: admin.MarketingActivityExternalStatusActive,
		MarketingChannelType: admin.MarketingChannelEmail, Tactic: admin.MarketingTacticNewsletter,
		Utm: &admin.UTMInput{Campaign: activity.RemoteID, Source: "listrak", Medium: "email"},
	}
	switch {
	case activity.Medium == BySMS:
		input.MarketingChannelType, input.Tactic, input.Utm.Medium = admin.MarketingChannelReferral, admin.MarketingTacticMessage, "sms"
	case activity.Automated:
		input.Tactic = admin.MarketingTacticMessage
	}
	if !activity.Start.IsZero() {
		start := activity.Start.UTC()
		input.Start = &start
	}
	answer, err := admin.UpsertMarketingActivity(ctx, single{c, opUpsertActivity, nil}, input)
	if err != nil {
		return err
	}
	payload := answer.MarketingActivityUpsertExternal
	switch {
	case payload != nil && len(payload.UserErrors) > 0:
		return userFailure(opUpsertActivity, codeOf(payload.UserErrors[0].Code), payload.UserErrors[0].Message)
	case payload == nil || payload.MarketingActivity == nil:
		return withoutPayload(opUpsertActivity, nil)
	}
	return nil
}

// Engagement is what happened with an activity on one day. The counts are those of that whole day, not since the beginning
// (contracts/shopify.md 6.1, isCumulative). Nil is a count that is not told.
type Engagement struct {
	RemoteID string
	// Day is the date in the zone whose offset from UTC is Offset.
	Day    time.Time
	Offset time.Duration

	Sends, Deliveries, Views, UniqueViews, Clicks, UniqueClicks, Bounces, Unsubscribes, Complaints *int
}

// CreateEngagements sends the totals of days in one request, at most MaxEngagements. A day that was sent before is replaced. Element i of the
// result is nil or the *failure.Error of engagements[i]; the error is that of the whole request.
func (c *Client) CreateEngagements(ctx context.Context, engagements []Engagement) ([]error, error) {
	if len(engagements) > MaxEngagements {
		return nil, fmt.Errorf("%s: %d in one request, at most %d fit", opCreateEngagement.verb, len(engagements), MaxEngagements)
	}
	if len(engagements) == 0 {
		return nil, nil
	}
	ids, inputs := make([]string, len(engagements)), make([]admin.MarketingEngagementInput, len(engagements))
	for n, e := range engagements {
		ids[n], inputs[n] = e.RemoteID, admin.MarketingEngagementInput{
			OccurredOn: e.Day.Format(time.DateOnly), UtcOffset: offsetText(e.Offset),
			SendsCount: e.Sends, ImpressionsCount: e.Deliveries, ViewsCount: e.Views, UniqueViewsCount: e.UniqueViews, ClicksCount: e.Clicks,
			UniqueClicksCount: e.UniqueClicks, FailsCount: e.Bounces, UnsubscribesCount: e.Unsubscribes, ComplaintsCount: e.Complaints,
		}
	}
	batch, err := admin.CreateMarketingEngagements(ids, inputs)
	if err != nil {
		return nil, err
	}
	answers, failures, err := sendBatch(ctx, c, opCreateEngagement, batch)
	if err != nil {
		return nil, err
	}
	results := make([]error, len(engagements))
	for n := range results {
		switch payload := answers[n].MarketingEngagementCreate; {
		case failures[n] != nil || payload == nil:
			results[n] = withoutPayload(opCreateEngagement, failures[n])
		case len(payload.UserErrors) > 0:
			results[n] = userFailure(opCreateEngagement, codeOf(payload.UserErrors[0].Code), payload.UserErrors[0].Message)
		}
	}
	return results, nil
}

// offsetText writes an offset as Shopify's UtcOffset: "-05:00".
func offsetText(offset time.Duration) string {
	sign := '+'
	if offset < 0 {
		sign, offset = '-', -offset
	}
	return fmt.Sprintf("%c%02d:%02d", sign, int(offset.Hours()), int(offset.Minutes())%60)
}

// codeOf is the code of a user error, empty for null.
func codeOf[C ~string](code *C) string {
	if code == nil {
		return ""
	}
	return string(*code)
}

// metafieldNamespace is reserved for our app: the store's staff reads what is in it, and no other app does.
const metafieldNamespace = "$app:concord"

// MetafieldType is the type of a metafield's value.
type MetafieldType string

// The types that we use; customer segments take both (Shopify's documentation of segment filters by metafields).
const (
	DateTimeField MetafieldType = "date_time"
	IntegerField  MetafieldType = "number_integer"
)

// Definition is a metafield of customers.
type Definition struct {
	Key, Name, Description string
	Type                   MetafieldType
}

// DefineMetafields makes sure that the store has the definitions. Without one a metafield cannot be used in customer segments.
func (c *Client) DefineMetafields(ctx context.Context, definitions []Definition) error {
	admins, inputs := admin.MetafieldAdminAccessInputMerchantRead, make([]admin.MetafieldDefinitionInput, len(definitions))
	namespace := metafieldNamespace
	for n, d := range definitions {
		inputs[n] = admin.MetafieldDefinitionInput{
			Namespace: &namespace, Key: d.Key, Name: d.Name, Description: &d.Description, Type: string(d.Type),
			OwnerType: admin.MetafieldOwnerTypeCustomer, Access: &admin.MetafieldAccessInput{Admin: &admins},
			Capabilities: &admin.MetafieldCapabilityCreateInput{AdminFilterable: &admin.MetafieldCapabilityAdminFilterableInput{Enabled: true}},
		}
	}
	batch, err := admin.CreateMetafieldDefinitions(inputs)
	if err != nil {
		return err
	}
	answers, failures, err := sendBatch(ctx, c, opCreateDefinition, batch)
	if err != nil {
		return err
	}
	var failed ItemErrors
	for n, answer := range answers {
		switch payload := answer.MetafieldDefinitionCreate; {
		case failures[n] != nil || payload == nil:
			failed = append(failed, withoutPayload(opCreateDefinition, failures[n]))
		case len(payload.UserErrors) > 0:
			code := codeOf(payload.UserErrors[0].Code)
			if code == string(admin.MetafieldDefinitionCreateUserErrorCodeTaken) {
				continue // it is there
			}
			f := userFailure(opCreateDefinition, code, payload.UserErrors[0].Message)
			if f.Class == failure.Refused {
				// It concerns the store and not one person: a limit of definitions, for one.
				f.Class, f.Advice = failure.PersonMustAct, adviceDefinitions
			}
			failed = append(failed, f)
		}
	}
	return failed.orNil()
}

const adviceDefinitions = "Shopify does not take the definitions of Concord's customer metafields: look at Settings → Custom data → Customers " +
	"in the Shopify admin whether their number has reached its limit, or switch the syncs of events off."

// Metafield is one value of one customer.
type Metafield struct {
	Customer CustomerID
	Key      string
	Type     MetafieldType
	Value    string
}

// SetMetafields sets groups of metafields, at most MaxMetafieldSets groups of at most MaxMetafields, in one request, with spare points of
// the API budget only. Shopify takes a group as a whole or not at all. Element i of the result belongs to groups[i]; the error is that of
// the whole request.
func (c *Client) SetMetafields(ctx context.Context, groups [][]Metafield) ([]MetafieldResult, error) {
	if len(groups) > MaxMetafieldSets {
		return nil, fmt.Errorf("%s: %d groups in one request, at most %d fit", opSetMetafields.verb, len(groups), MaxMetafieldSets)
	}
	inputs := make([][]admin.MetafieldsSetInput, len(groups))
	namespace := metafieldNamespace
	for n, group := range groups {
		if len(group) == 0 || len(group) > MaxMetafields {
			return nil, fmt.Errorf("%s: a group of %d, want 1 to %d", opSetMetafields.verb, len(group), MaxMetafields)
		}
		for _, m := range group {
			kind := string(m.Type)
			inputs[n] = append(inputs[n], admin.MetafieldsSetInput{
				OwnerId: string(m.Customer), Namespace: &namespace, Key: m.Key, Type: &kind, Value: m.Value,
			})
		}
	}
	if len(groups) == 0 {
		return nil, nil
	}
	batch, err := admin.SetManyMetafields(inputs)
	if err != nil {
		return nil, err
	}
	answers, failures, err := sendBatch(ctx, c, opSetMetafields, batch)
	if err != nil {
		return nil, err
	}
	results := make([]MetafieldResult, len(groups))
	for n := range results {
		payload := answers[n].MetafieldsSet
		if failures[n] != nil || payload == nil {
			results[n].Err = withoutPayload(opSetMetafields, failures[n])
			continue
		}
		for _, refused := range payload.UserErrors {
			code := codeOf(refused.Code)
			f := userFailure(opSetMetafields, code, refused.Message)
			if f.MaybeDone {
				results[n].Err = f
				break
			}
			at := elementOf(refused.ElementIndex, refused.Field)
			if at < 0 || at >= len(groups[n]) {
				results[n].Err = errors.Join(results[n].Err, f)
				continue
			}
			if len(refused.Field) > 0 && refused.Field[len(refused.Field)-1] == "ownerId" {
				f.Code = CodeNoOwner
			}
			if results[n].Refused == nil {
				results[n].Refused = map[int]error{}
			}
			results[n].Refused[at] = f
		}
	}
	return results, nil
}

// MetafieldResult is how a group of metafields ended: stored when it is zero. When some elements are Refused, none is stored, and the
// others may be sent again without them.
type MetafieldResult struct {
	// Refused are the failures of single elements, by index; those with CodeNoOwner have lost their customer.
	Refused map[int]error
	// Err is what stands against the whole group.
	Err error
}

// elementOf is the element that a user error is about: by its index, or by its path metafields, 3, ownerId; -1 when it says neither.
func elementOf(index *int, path []string) int {
	if index != nil {
		return *index
	}
	if len(path) > 1 {
		n := -1
		if _, err := fmt.Sscanf(path[1], "%d", &n); err == nil {
			return n
		}
	}
	return -1
}

// ShopZone reads the IANA name of the time zone in which the shop counts its days.
func (c *Client) ShopZone(ctx context.Context) (*time.Location, error) {
	answer, err := admin.ShopZone(ctx, single{c, opShopZone, nil})
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(answer.Shop.IanaTimezone)
	if err != nil || answer.Shop.IanaTimezone == "" {
		return nil, &failure.Error{Class: failure.PersonMustAct, Op: opShopZone.verb, Code: "UNKNOWN_ZONE", Advice: adviceUpdate}
	}
	return zone, nil
}

package shop

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Activity is an external marketing activity as an app stored it.
type Activity struct {
	RemoteID string    `json:"remoteId"`
	Title    string    `json:"title"`
	URL      string    `json:"url"`
	Channel  string    `json:"channel"`
	Tactic   string    `json:"tactic"`
	Status   string    `json:"status"`
	Campaign string    `json:"campaign"`
	Source   string    `json:"source"`
	Medium   string    `json:"medium"`
	Start    time.Time `json:"start"`
	number   int64
}

// Engagement is what an app told of one activity and one day; a nil count was not told.
type Engagement struct {
	Day    string         `json:"day"`
	Offset string         `json:"offset"`
	Counts map[string]int `json:"counts"`
}

// EngagementReport is the engagement of an activity as it stands.
type EngagementReport struct {
	Activity Activity `json:"activity"`
	// Days are in the order of their dates.
	Days []Engagement `json:"days"`
}

// UserErrors of marketing activities whose texts the contract shows (contracts/shopify.md 6.1, L); the other texts are in its manner.
var (
	noActivity  = UserError{Message: "Marketing activity does not exist.", Code: "MARKETING_ACTIVITY_DOES_NOT_EXIST"}
	needsUTM    = UserError{Field: []string{"input"}, Message: "Non-hierarchical activities require a UTM or URL parameter.", Code: "NON_HIERARCHIAL_REQUIRES_UTM_URL_PARAMETER"}
	campaignHas = UserError{Field: []string{"input"}, Message: "Validation failed: Utm campaign has already been taken"}
	fixedUTM    = UserError{Field: []string{"input"}, Message: "UTM parameters cannot be updated.", Code: "IMMUTABLE_UTM_PARAMETERS"}
	noIdentity  = UserError{Message: "No identifier found. Please provide one of the following: marketing activity id, remote id, channel handle.",
		Code: "INVALID_MARKETING_ENGAGEMENT_ARGUMENT_MISSING"}
	manyIdentities = UserError{Message: "More than one identifier found.", Code: "INVALID_MARKETING_ENGAGEMENT_ARGUMENTS"}
	wrongOffset    = UserError{Field: []string{"marketingEngagement", "utcOffset"}, Message: "UTC offset is invalid", Code: "INVALID"}
)

// UpsertActivity is marketingActivityUpsertExternal: an optional field that is left out is taken away (contracts/shopify.md 6.1).
func (s *Store) UpsertActivity(activity Activity) []UserError {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marketingWrites++
	if activity.Campaign == "" {
		return []UserError{needsUTM}
	}
	before, known := s.activities[activity.RemoteID]
	if known && (before.Campaign != activity.Campaign || before.Source != activity.Source || before.Medium != activity.Medium) {
		return []UserError{fixedUTM}
	}
	for _, other := range s.activities {
		if other.RemoteID != activity.RemoteID && other.Campaign == activity.Campaign {
			return []UserError{campaignHas}
		}
	}
	activity.number = before.number
	if !known {
		activity.number = int64(len(s.activities)) + 1
	}
	if activity.Start.IsZero() {
		activity.Start = s.config.Now()
	}
	s.activities[activity.RemoteID] = activity
	return nil
}

var utcOffset = regexp.MustCompile(`^[+-](0\d|1[0-4]):[0-5]\d$`)

// CreateEngagement is marketingEngagementCreate by remote id. Whether a second one of the same day replaces the first or adds to it is
// documented only for an older channel-level text (contracts/shopify.md 6.1, O): Switches.EngagementsAdd.
func (s *Store) CreateEngagement(remoteID string, engagement Engagement) []UserError {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marketingWrites++
	if _, known := s.activities[remoteID]; !known {
		return []UserError{noActivity}
	}
	if !utcOffset.MatchString(engagement.Offset) {
		return []UserError{wrongOffset}
	}
	if s.engagements[remoteID] == nil {
		s.engagements[remoteID] = map[string]Engagement{}
	}
	if before, told := s.engagements[remoteID][engagement.Day]; told && s.switches.EngagementsAdd {
		for name, count := range before.Counts {
			engagement.Counts[name] += count
		}
	}
	s.engagements[remoteID][engagement.Day] = engagement
	return nil
}

// Engagements are all activities with what was told of their days, in the order in which they were stored.
func (s *Store) Engagements() []EngagementReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	reports := make([]EngagementReport, 0, len(s.activities))
	for id, activity := range s.activities {
		report := EngagementReport{Activity: activity}
		for _, day := range s.engagements[id] {
			report.Days = append(report.Days, day)
		}
		slices.SortFunc(report.Days, func(a, b Engagement) int { return strings.Compare(a.Day, b.Day) })
		reports = append(reports, report)
	}
	slices.SortFunc(reports, func(a, b EngagementReport) int { return cmp.Compare(a.Activity.number, b.Activity.number) })
	return reports
}

// MarketingWrites counts the calls that stored an activity or a day, taken or refused.
func (s *Store) MarketingWrites() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marketingWrites
}

// activityNode is a marketing activity in an answer.
type activityNode struct{ number int64 }

func (activityNode) typeName() string { return "MarketingActivity" }

func (a activityNode) resolve(_ *execution, call call) (value, error) {
	if call.name == "id" {
		return text("gid://shopify/MarketingActivity/" + itoa(int(a.number))), nil
	}
	return unmodelled("MarketingActivity", call.name)
}

// refusals is a payload that holds userErrors, and an object when there are none.
type refusals struct {
	name, errorName string
	field           string
	made            object
	userErrors      []UserError
}

func (r refusals) typeName() string { return r.name }

func (r refusals) resolve(_ *execution, call call) (value, error) {
	switch call.name {
	case "userErrors":
		list := make([]object, 0, len(r.userErrors))
		for _, refused := range r.userErrors {
			list = append(list, userErrorNode{r.errorName, refused})
		}
		return listOf(list), nil
	case r.field:
		if r.made == nil || len(r.userErrors) > 0 {
			return value{}, nil
		}
		return value{object: r.made}, nil
	default:
		return unmodelled(r.name, call.name)
	}
}

func upsertActivity(store *Store, in inputs) value {
	utm := in.object("utm")
	activity := Activity{
		RemoteID: in.text("remoteId"), Title: in.text("title"), URL: in.text("remoteUrl"), Channel: in.text("marketingChannelType"),
		Tactic: in.text("tactic"), Status: in.text("status"), Campaign: utm.text("campaign"), Source: utm.text("source"), Medium: utm.text("medium"),
		Start: in.instant("start"),
	}
	refused := store.UpsertActivity(activity)
	store.mu.Lock()
	number := store.activities[activity.RemoteID].number
	store.mu.Unlock()
	return value{object: refusals{name: "MarketingActivityUpsertExternalPayload", errorName: "MarketingActivityUserError",
		field: "marketingActivity", made: activityNode{number}, userErrors: refused}}
}

// engagementCounts are the counts of MarketingEngagementInput that the sandbox knows.
var engagementCounts = []string{"sendsCount", "impressionsCount", "viewsCount", "uniqueViewsCount", "clicksCount", "uniqueClicksCount",
	"failsCount", "unsubscribesCount", "complaintsCount"}

func createEngagement(store *Store, arguments inputs) value {
	in := arguments.object("marketingEngagement")
	payload := refusals{name: "MarketingEngagementCreatePayload", errorName: "MarketingActivityUserError"}
	identities := 0
	for _, name := range []string{"remoteId", "marketingActivityId", "channelHandle"} {
		if arguments.text(name) != "" {
			identities++
		}
	}
	switch {
	case identities == 0:
		payload.userErrors = []UserError{noIdentity}
	case identities > 1:
		payload.userErrors = []UserError{manyIdentities}
	default:
		engagement := Engagement{Day: in.text("occurredOn"), Offset: in.text("utcOffset"), Counts: map[string]int{}}
		for _, name := range engagementCounts {
			if count := in.number(name); count != nil {
				engagement.Counts[name] = *count
			}
		}
		payload.userErrors = store.CreateEngagement(arguments.text("remoteId"), engagement)
	}
	return value{object: payload}
}

// DeleteActivities acts as the merchant who deletes all marketing activities in the admin, and with them their engagement.
func (s *Store) DeleteActivities() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.activities)
	clear(s.engagements)
}

package sandbox

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// MessageAct sends a message, or lets one recipient act on it.
type MessageAct struct {
	// ID is the message that is acted on; zero makes a new one, with Kind, Conversation and Subject, sent at At or Ago.
	ID           int              `json:"id,omitempty"`
	Kind         list.MessageKind `json:"kind,omitempty"`
	Conversation int              `json:"conversation,omitempty"`
	Subject      string           `json:"subject,omitempty"`
	// To are the people whom it is sent to. Recipients, of a new message, adds so many made-up ones, of whom OpenPercent open it and
	// ClickPercent of all click it, both rounded down, at even distances Within that time from the sending on.
	To           []string `json:"to,omitempty"`
	Recipients   int      `json:"recipients,omitempty"`
	OpenPercent  int      `json:"openPercent,omitempty"`
	ClickPercent int      `json:"clickPercent,omitempty"`
	Within       Duration `json:"within,omitzero"`
	// Email does Act: open, read, click, bounce, unsubscribe or abuse.
	Email string   `json:"email,omitempty"`
	Act   list.Act `json:"act,omitempty"`
	When
}

// maxRecipients bounds the made-up recipients of one message.
const maxRecipients = 1_000_000

// MessageView is a message and what has become of it.
type MessageView struct {
	ID      int          `json:"id"`
	Summary list.Summary `json:"summary"`
}

// Recipient is the address of the nth made-up recipient of a message.
func Recipient(n int) string { return fmt.Sprintf("recipient-%d@example.com", n) }

// SendMessage acts in the list as MessageAct says.
func SendMessage(store *list.Store, in MessageAct) (MessageView, error) {
	at, err := in.on(store.Clock())
	if err != nil {
		return MessageView{}, err
	}
	if in.ID == 0 {
		if in.Recipients < 0 || in.Recipients > maxRecipients || in.OpenPercent < in.ClickPercent || in.OpenPercent > 100 || in.ClickPercent < 0 {
			return MessageView{}, fmt.Errorf("%w: recipients must be at most %d, and whoever clicks has opened", errBadRequest, maxRecipients)
		}
		id, err := store.CreateMessage(list.NewMessage{Kind: in.Kind, Conversation: in.Conversation, Subject: in.Subject, At: at})
		if err != nil {
			return MessageView{}, fmt.Errorf("%w: %w", errBadRequest, err)
		}
		in.ID = id
		if err := sendMany(store, in, at); err != nil {
			return MessageView{}, err
		}
	}
	if err := store.Send(in.ID, at, in.To...); err != nil {
		return MessageView{}, fmt.Errorf("%w: %w", errBadRequest, err)
	}
	if in.Act != "" {
		if err := store.Act(in.ID, in.Email, in.Act, at); err != nil {
			return MessageView{}, fmt.Errorf("%w: %w", errBadRequest, err)
		}
	}
	return MessageView{ID: in.ID, Summary: store.MessageSummary(in.ID)}, nil
}

// sendMany sends a new message to made-up people and plans what they do.
func sendMany(store *list.Store, in MessageAct, at time.Time) error {
	if at.IsZero() {
		at = store.Clock()
	}
	emails := make([]string, in.Recipients)
	for n := range emails {
		emails[n] = Recipient(n)
	}
	if err := store.Send(in.ID, at, emails...); err != nil {
		return err
	}
	opens, clicks := in.Recipients*in.OpenPercent/100, in.Recipients*in.ClickPercent/100
	for n, email := range emails {
		opener, opened := nthOf(n, opens, in.Recipients)
		if !opened {
			continue
		}
		// As a fraction: a day times a million is more than a duration can hold.
		then := at.Add(time.Duration(float64(in.Within) * float64(opener) / float64(opens)))
		if err := store.Act(in.ID, email, list.Open, then); err != nil {
			return err
		}
		if _, clicked := nthOf(opener, clicks, opens); clicked {
			if err := store.Act(in.ID, email, list.Click, then.Add(time.Millisecond)); err != nil {
				return err
			}
		}
	}
	return nil
}

// nthOf spreads few evenly over many: whether n, from 0, is one of them, and which.
func nthOf(n, few, many int) (nth int, is bool) {
	nth = n * few / many
	return nth, nth < (n+1)*few/many
}

func (sb *Sandbox) sendMessage(r *http.Request, in MessageAct) (MessageView, error) {
	store, err := sb.addressed(r)
	if err != nil {
		return MessageView{}, err
	}
	return SendMessage(store, in)
}

// EngagementView is what a shop was told of messages, and of a customer.
type EngagementView struct {
	Activities []shop.EngagementReport `json:"activities"`
	// Metafields are those of the customer who was asked for.
	Metafields map[string]string `json:"metafields,omitempty"`
	// Definitions are the metafields that can be used in segments.
	Definitions map[string]shop.Definition `json:"definitions"`
}

func (sb *Sandbox) showEngagement(r *http.Request, _ none) (EngagementView, error) {
	store, err := sb.Shop(r.PathValue("domain"))
	if err != nil {
		return EngagementView{}, err
	}
	view := EngagementView{Activities: store.Engagements(), Definitions: store.Definitions()}
	if email, phone := r.URL.Query().Get("email"), r.URL.Query().Get("phone"); email != "" || phone != "" {
		_, customer, err := sb.find(r, email, phone)
		if err != nil {
			return EngagementView{}, err
		}
		view.Metafields = store.Metafields(customer.ID)
	}
	return view, nil
}

// SendMessage sends a message of a list, or lets a recipient act on it.
func (c *Control) SendMessage(ctx context.Context, listID int, in MessageAct) (MessageView, error) {
	return call[MessageView](ctx, c, http.MethodPost, "/lists/"+strconv.Itoa(listID)+"/messages", in)
}

// Engagement shows what a shop was told of messages, and of the customer with an address, if one is given.
func (c *Control) Engagement(ctx context.Context, domain, email string) (EngagementView, error) {
	path := "/shops/" + url.PathEscape(domain) + "/engagement"
	if email != "" {
		path += "?email=" + url.QueryEscape(email)
	}
	return call[EngagementView](ctx, c, http.MethodGet, path, nil)
}

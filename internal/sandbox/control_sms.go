package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concordsync/concord/internal/sandbox/list"
)

// SenderCodeView is a sender code with its settings. Phones is how many phone numbers it knows.
type SenderCodeView struct {
	SenderCodeSettings
	Phones int `json:"phones"`
}

// SenderCodeSettings describe a sender code; see list.SenderCodeConfig. All but ID and the ids of Lists can change while it is in use.
type SenderCodeSettings struct {
	ID                int                 `json:"id"`
	Number            string              `json:"number,omitempty"`
	Name              string              `json:"name,omitempty"`
	Country           string              `json:"country,omitempty"`
	ClientID          string              `json:"clientId"`
	Secret            string              `json:"secret"`
	Account           string              `json:"account,omitempty"`
	Lists             []list.PhoneList    `json:"lists"`
	Disabled          bool                `json:"disabled"`
	Zone              string              `json:"zone"` // IANA name; empty means UTC
	ClockSkew         Duration            `json:"clockSkew"`
	SameState         list.SameState      `json:"sameState"`
	OptedOut          list.OptedOutAnswer `json:"optedOut"`
	OptOutLeavesLists bool                `json:"optOutLeavesLists"`
	StartKeepsDates   bool                `json:"startKeepsDates"`
	StopReason        list.OptOutReason   `json:"stopReason"`
	HidesOptOutDate   bool                `json:"hidesOptOutDate"`
	OnlySubscribed    bool                `json:"onlySubscribed"`
	UnpagedOptOuts    bool                `json:"unpagedOptOuts"`
	NumberedReasons   bool                `json:"numberedReasons"`
	Missing404        bool                `json:"missing404"`
	LowerStates       bool                `json:"lowerStates"`
	Spelling          list.PhoneSpelling  `json:"spelling"`
	RefusesPlus       bool                `json:"refusesPlus"`
	NoAccess          bool                `json:"noAccess"`
	Paused            bool                `json:"paused"`
	IPRefused         bool                `json:"ipRefused"`
	TokenLife         Duration            `json:"tokenLife"`
	RatePerSecond     float64             `json:"ratePerSecond"`
	MaxBody           int64               `json:"maxBody"`
	Latency           Duration            `json:"latency"`
}

// config is the configuration that the settings describe; now is its clock.
func (s SenderCodeSettings) config(now func() time.Time) (list.SenderCodeConfig, error) {
	zone, err := time.LoadLocation(s.Zone)
	if err != nil {
		return list.SenderCodeConfig{}, fmt.Errorf("zone: %w; give an IANA name, as America/New_York", err)
	}
	return list.SenderCodeConfig{ID: s.ID, Number: s.Number, Name: s.Name, Country: s.Country, ClientID: s.ClientID, Secret: s.Secret,
		Account: s.Account, Lists: s.Lists, Disabled: s.Disabled, Zone: zone, ClockSkew: time.Duration(s.ClockSkew), SameState: s.SameState,
		OptedOut: s.OptedOut, OptOutLeavesLists: s.OptOutLeavesLists, StartKeepsDates: s.StartKeepsDates, StopReason: s.StopReason,
		HidesOptOutDate: s.HidesOptOutDate, OnlySubscribed: s.OnlySubscribed, UnpagedOptOuts: s.UnpagedOptOuts,
		NumberedReasons: s.NumberedReasons, Missing404: s.Missing404, LowerStates: s.LowerStates, Spelling: s.Spelling,
		RefusesPlus: s.RefusesPlus, NoAccess: s.NoAccess, Paused: s.Paused, IPRefused: s.IPRefused, TokenLife: time.Duration(s.TokenLife),
		RatePerSecond: s.RatePerSecond, MaxBody: s.MaxBody, Latency: time.Duration(s.Latency), Now: now}, nil
}

func senderCodeSettings(c list.SenderCodeConfig) SenderCodeSettings {
	return SenderCodeSettings{ID: c.ID, Number: c.Number, Name: c.Name, Country: c.Country, ClientID: c.ClientID, Secret: c.Secret,
		Account: c.Account, Lists: c.Lists, Disabled: c.Disabled, Zone: c.Zone.String(), ClockSkew: Duration(c.ClockSkew),
		SameState: c.SameState, OptedOut: c.OptedOut, OptOutLeavesLists: c.OptOutLeavesLists, StartKeepsDates: c.StartKeepsDates,
		StopReason: c.StopReason, HidesOptOutDate: c.HidesOptOutDate, OnlySubscribed: c.OnlySubscribed, UnpagedOptOuts: c.UnpagedOptOuts,
		NumberedReasons: c.NumberedReasons, Missing404: c.Missing404, LowerStates: c.LowerStates, Spelling: c.Spelling,
		RefusesPlus: c.RefusesPlus, NoAccess: c.NoAccess, Paused: c.Paused, IPRefused: c.IPRefused, TokenLife: Duration(c.TokenLife),
		RatePerSecond: c.RatePerSecond, MaxBody: c.MaxBody, Latency: Duration(c.Latency)}
}

// PhoneAct is a person's, the merchant's or a machine's act on a sender code or one of its lists.
type PhoneAct struct {
	Phone string `json:"phone,omitempty"`
	// Phones are those of an import.
	Phones []string `json:"phones,omitempty"`
	// Reason is that of an opt-out.
	Reason list.OptOutReason `json:"reason,omitempty"`
	// Refusal is why Listrak refuses the phone number from now on; empty lifts it. Only for that act.
	Refusal list.PhoneRefusal `json:"refusal,omitempty"`
	When
}

// Imported counts what an import took.
type Imported struct {
	Taken int `json:"taken"`
}

func (sb *Sandbox) smsActions() []action {
	const phone = `{"phone":"+15550001111"}`
	return []action{
		{"POST", "/sender-codes", "add a Listrak sender code with phone lists",
			`{"id":8,"clientId":"sms-id","secret":"secret","zone":"America/New_York","lists":[{"id":80,"name":"Texts"}]}`,
			handle(sb.postSenderCode)},
		{"PATCH", "/sender-codes/{code}", "change a sender code's settings; those left out stay",
			`{"sameState":"answers_error","optedOut":"stays_out","spelling":"digits"}`, handle(sb.patchSenderCode)},
		{"PATCH", "/sender-codes/{code}", "make phone lists inactive, or ask a double opt-in or age gate of them; all lists of the code are given anew",
			sb.inactiveLists(), nil},
		{"GET", "/sender-codes/{code}/writes", "list what was written through the SMS API", "", handle(sb.phoneWrites)},
		{"GET", "/sender-codes/{code}/faults", "count the failures handed out", "", handle(sb.senderCodeStruck)},
		{"PUT", "/sender-codes/{code}/faults", "make calls fail; no rules: all is well again",
			`{"rules":[{"operation":"PUT Contact","kind":"error_after","times":1}]}`, handle(sb.putSenderCodeFaults)},
		{"POST", "/sms/{phonelist}/subscribe", "the person subscribes by a text or a form", phone, handle(sb.smsSubscribe)},
		{"POST", "/sms/{phonelist}/import", "the merchant imports phone numbers into the list", `{"phones":["+15550001111","+15550002222"]}`,
			handle(sb.smsImport)},
		{"POST", "/sms/{phonelist}/confirm", "the person answers a double opt-in or age gate", phone, handle(sb.smsConfirm)},
		{"POST", "/sms/{phonelist}/unsubscribe", "the person leaves this list, and no other", `{"phone":"+15550001111","ago":"6m"}`,
			handle(sb.smsUnsubscribe)},
		{"POST", "/sms/{phonelist}/stop", "the person replies STOP: opted out of the list's sender code", phone, handle(sb.smsStop)},
		{"POST", "/sms/{phonelist}/start", "the person replies START: the opt-out is taken back", phone, handle(sb.smsStart)},
		{"POST", "/sms/{phonelist}/opt-out", "a carrier, an administrator or an import opts the phone number out",
			`{"phone":"+15550001111","reason":"Deactivated"}`, handle(sb.smsOptOut)},
		{"POST", "/sms/{phonelist}/delete", "the sender code forgets the phone number", phone, handle(sb.smsDelete)},
		{"POST", "/sms/{phonelist}/refuse", "Listrak refuses the phone number: banned, suspended, invalid or, empty, no longer",
			`{"phone":"+15550001111","refusal":"banned"}`, handle(sb.smsRefuse)},
		{"GET", "/sms/{phonelist}/contact?phone=%2B15550001111", "show a phone number", "", handle(sb.smsContact)},
	}
}

// inactiveLists is a patch of the first sender code that makes its first phone list inactive. It names them all, as a patch has to.
func (sb *Sandbox) inactiveLists() string {
	lists := []list.PhoneList{{ID: 80, Name: "Texts"}}
	if codes := sb.listrak.SenderCodes(); len(codes) > 0 && len(codes[0].Config().Lists) > 0 {
		lists = slices.Clone(codes[0].Config().Lists)
	}
	lists[0].Inactive = true
	text, err := json.Marshal(struct {
		Lists []list.PhoneList `json:"lists"`
	}{lists})
	if err != nil {
		panic(err) // numbers, names and switches always are JSON
	}
	return strings.ReplaceAll(string(text), "'", `\u0027`) // a shell's quotes are around it
}

// AddSenderCode puts a sender code without phone numbers into the sandbox. It panics when the configuration is not valid or an id taken,
// since only a mistake in the calling program can bring that about; the control API refuses it instead.
func (sb *Sandbox) AddSenderCode(config list.SenderCodeConfig) *list.SenderCode {
	code, err := sb.addSenderCode(config)
	if err != nil {
		panic(err)
	}
	return code
}

func (sb *Sandbox) addSenderCode(config list.SenderCodeConfig) (*list.SenderCode, error) {
	if config.Now == nil {
		config.Now = sb.now
	}
	code, err := list.NewSenderCode(config)
	if err != nil {
		return nil, err
	}
	if err := sb.listrak.AddSenderCode(code); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrExists, err)
	}
	return code, nil
}

// SenderCode returns the sender code of an id, or ErrNoSenderCode.
func (sb *Sandbox) SenderCode(id int) (*list.SenderCode, error) {
	code := sb.listrak.SenderCode(id)
	if code == nil {
		return nil, fmt.Errorf("%w: %d", ErrNoSenderCode, id)
	}
	return code, nil
}

// ListrakSMSURL is the base address of Listrak's SMS API, to which /v1/ShortCode and so on are added.
func (sb *Sandbox) ListrakSMSURL() string { return sb.base + "/listrak-sms" }

// addressedCode is the sender code that a path names.
func (sb *Sandbox) addressedCode(r *http.Request) (*list.SenderCode, error) {
	id, err := strconv.Atoi(r.PathValue("code"))
	if err != nil {
		return nil, fmt.Errorf("%w: %q", ErrNoSenderCode, r.PathValue("code"))
	}
	return sb.SenderCode(id)
}

func senderCodeView(code *list.SenderCode) SenderCodeView {
	return SenderCodeView{SenderCodeSettings: senderCodeSettings(code.Config()), Phones: code.Len()}
}

func (sb *Sandbox) postSenderCode(_ *http.Request, settings SenderCodeSettings) (SenderCodeView, error) {
	config, err := settings.config(nil)
	if err != nil {
		return SenderCodeView{}, err
	}
	code, err := sb.addSenderCode(config)
	if err != nil {
		return SenderCodeView{}, err
	}
	return senderCodeView(code), nil
}

func (sb *Sandbox) patchSenderCode(r *http.Request, patch json.RawMessage) (SenderCodeView, error) {
	code, err := sb.addressedCode(r)
	if err != nil {
		return SenderCodeView{}, err
	}
	var bad error
	err = code.Configure(func(c *list.SenderCodeConfig) {
		settings := senderCodeSettings(*c)
		// JSON decodes an array into the elements that are there, which would mix a new list with an old one's name.
		settings.Lists = nil
		if bad = overlay(patch, &settings); bad != nil {
			return
		}
		if settings.Lists == nil {
			settings.Lists = c.Lists
		}
		var next list.SenderCodeConfig
		if next, bad = settings.config(c.Now); bad == nil {
			*c = next
		}
	})
	if err := errors.Join(bad, err); err != nil {
		return SenderCodeView{}, err
	}
	return senderCodeView(code), nil
}

func (sb *Sandbox) phoneWrites(r *http.Request, _ none) ([]list.PhoneWrite, error) {
	code, err := sb.addressedCode(r)
	if err != nil {
		return nil, err
	}
	return append([]list.PhoneWrite{}, code.Writes()...), nil
}

func (sb *Sandbox) senderCodeStruck(r *http.Request, _ none) (Struck, error) {
	code, err := sb.addressedCode(r)
	if err != nil {
		return nil, err
	}
	return code.Faults.Struck(), nil
}

func (sb *Sandbox) putSenderCodeFaults(r *http.Request, faults Faults) (none, error) {
	code, err := sb.addressedCode(r)
	if err != nil {
		return none{}, err
	}
	return none{}, set(&code.Faults, faults, faultKinds)
}

// addressedPhoneList is the phone list that a path names, with its sender code.
func (sb *Sandbox) addressedPhoneList(r *http.Request) (*list.SenderCode, int, error) {
	id, err := strconv.Atoi(r.PathValue("phonelist"))
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %q", list.ErrNoPhoneList, r.PathValue("phonelist"))
	}
	code := sb.listrak.SenderCodeOf(id)
	if code == nil {
		return nil, 0, fmt.Errorf("%w: %d", list.ErrNoPhoneList, id)
	}
	return code, id, nil
}

// texting does an act and shows the phone number as the act leaves it.
func (sb *Sandbox) texting(r *http.Request, act PhoneAct, do func(code *list.SenderCode, id int, at time.Time) error) (list.Phone, error) {
	code, id, err := sb.addressedPhoneList(r)
	if err != nil {
		return list.Phone{}, err
	}
	at, err := act.on(sb.now())
	if err != nil {
		return list.Phone{}, err
	}
	if err := do(code, id, at); err != nil {
		return list.Phone{}, err
	}
	phone, _ := code.Phone(act.Phone)
	return phone, nil
}

func (sb *Sandbox) smsSubscribe(r *http.Request, act PhoneAct) (list.Phone, error) {
	return sb.texting(r, act, func(c *list.SenderCode, id int, at time.Time) error { return c.Subscribe(id, act.Phone, at) })
}

func (sb *Sandbox) smsImport(r *http.Request, act PhoneAct) (Imported, error) {
	var imported Imported
	_, err := sb.texting(r, act, func(c *list.SenderCode, id int, at time.Time) (err error) {
		imported.Taken, err = c.Import(id, act.Phones, at)
		return err
	})
	return imported, err
}

func (sb *Sandbox) smsConfirm(r *http.Request, act PhoneAct) (list.Phone, error) {
	return sb.texting(r, act, func(c *list.SenderCode, id int, _ time.Time) error { return c.Confirm(id, act.Phone) })
}

func (sb *Sandbox) smsUnsubscribe(r *http.Request, act PhoneAct) (list.Phone, error) {
	return sb.texting(r, act, func(c *list.SenderCode, id int, at time.Time) error { return c.Unsubscribe(id, act.Phone, at) })
}

func (sb *Sandbox) smsStop(r *http.Request, act PhoneAct) (list.Phone, error) {
	return sb.texting(r, act, func(c *list.SenderCode, _ int, at time.Time) error { return c.Stop(act.Phone, at) })
}

func (sb *Sandbox) smsStart(r *http.Request, act PhoneAct) (list.Phone, error) {
	return sb.texting(r, act, func(c *list.SenderCode, _ int, at time.Time) error { return c.Start(act.Phone, at) })
}

func (sb *Sandbox) smsOptOut(r *http.Request, act PhoneAct) (list.Phone, error) {
	return sb.texting(r, act, func(c *list.SenderCode, _ int, at time.Time) error { return c.OptOut(act.Phone, at, act.Reason) })
}

func (sb *Sandbox) smsDelete(r *http.Request, act PhoneAct) (none, error) {
	_, err := sb.texting(r, act, func(c *list.SenderCode, _ int, _ time.Time) error { return c.Delete(act.Phone) })
	return none{}, err
}

func (sb *Sandbox) smsRefuse(r *http.Request, act PhoneAct) (none, error) {
	_, err := sb.texting(r, act, func(c *list.SenderCode, _ int, _ time.Time) error { return c.Refuse(act.Phone, act.Refusal) })
	return none{}, err
}

func (sb *Sandbox) smsContact(r *http.Request, _ none) (list.Phone, error) {
	code, _, err := sb.addressedPhoneList(r)
	if err != nil {
		return list.Phone{}, err
	}
	phone, known := code.Phone(r.URL.Query().Get("phone"))
	if !known {
		return list.Phone{}, list.ErrNoContact
	}
	return phone, nil
}

func senderCodePath(id int, rest string) string { return "/sender-codes/" + strconv.Itoa(id) + rest }

func smsPath(id int, rest string) string { return "/sms/" + strconv.Itoa(id) + rest }

// AddSenderCode adds a sender code with its phone lists.
func (c *Control) AddSenderCode(ctx context.Context, settings SenderCodeSettings) (SenderCodeView, error) {
	return call[SenderCodeView](ctx, c, http.MethodPost, "/sender-codes", settings)
}

// ConfigureSenderCode replaces a sender code's settings; its id and those of its lists stay.
func (c *Control) ConfigureSenderCode(ctx context.Context, settings SenderCodeSettings) (SenderCodeView, error) {
	return call[SenderCodeView](ctx, c, http.MethodPatch, senderCodePath(settings.ID, ""), settings)
}

// PhoneWrites lists what was written through the SMS API since the last Reset.
func (c *Control) PhoneWrites(ctx context.Context, code int) ([]list.PhoneWrite, error) {
	return call[[]list.PhoneWrite](ctx, c, http.MethodGet, senderCodePath(code, "/writes"), nil)
}

// SetSenderCodeFaults makes a sender code's calls fail; without rules all is well again.
func (c *Control) SetSenderCodeFaults(ctx context.Context, code int, faults Faults) error {
	_, err := call[none](ctx, c, http.MethodPut, senderCodePath(code, "/faults"), faults)
	return err
}

// SenderCodeStruck counts the failures that a sender code handed out.
func (c *Control) SenderCodeStruck(ctx context.Context, code int) (Struck, error) {
	return call[Struck](ctx, c, http.MethodGet, senderCodePath(code, "/faults"), nil)
}

// SMS acts on a phone list: "subscribe", "confirm", "unsubscribe", "stop", "start" or "opt-out". It shows the phone number as the act
// leaves it.
func (c *Control) SMS(ctx context.Context, phoneList int, act string, about PhoneAct) (list.Phone, error) {
	return call[list.Phone](ctx, c, http.MethodPost, smsPath(phoneList, "/"+url.PathEscape(act)), about)
}

// ImportPhones is the merchant importing phone numbers into a list; it returns how many were taken.
func (c *Control) ImportPhones(ctx context.Context, phoneList int, phones []string) (int, error) {
	imported, err := call[Imported](ctx, c, http.MethodPost, smsPath(phoneList, "/import"), PhoneAct{Phones: phones})
	return imported.Taken, err
}

// DeletePhone makes the list's sender code forget a phone number.
func (c *Control) DeletePhone(ctx context.Context, phoneList int, phone string) error {
	_, err := call[none](ctx, c, http.MethodPost, smsPath(phoneList, "/delete"), PhoneAct{Phone: phone})
	return err
}

// RefusePhone makes Listrak refuse a phone number from now on; list.PhoneNotRefused lifts that.
func (c *Control) RefusePhone(ctx context.Context, phoneList int, phone string, why list.PhoneRefusal) error {
	_, err := call[none](ctx, c, http.MethodPost, smsPath(phoneList, "/refuse"), PhoneAct{Phone: phone, Refusal: why})
	return err
}

// Phone shows what a list's sender code knows of a phone number; false when it does not know it.
func (c *Control) Phone(ctx context.Context, phoneList int, phone string) (list.Phone, bool, error) {
	found, err := call[list.Phone](ctx, c, http.MethodGet, smsPath(phoneList, "/contact?"+url.Values{"phone": {phone}}.Encode()), nil)
	if errors.Is(err, list.ErrNoContact) {
		return list.Phone{}, false, nil
	}
	return found, err == nil, err
}

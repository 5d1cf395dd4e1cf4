package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/sandbox/fault"
	"github.com/concordsync/concord/internal/sandbox/list"
)

const ann = "+15550001111"

// textsConfig is a sender code with a plain phone list and one with double opt-in.
func textsConfig() list.SenderCodeConfig {
	return list.SenderCodeConfig{ID: 5, ClientID: "sms", Secret: "secret", Account: "client",
		Lists: []list.PhoneList{{ID: 50, Name: "Texts"}, {ID: 51, DoubleOptIn: true}}}
}

func TestControlActsOnSMS(t *testing.T) {
	t.Parallel()
	sb, control, client := start(t)
	ctx := t.Context()
	code := sb.AddSenderCode(textsConfig())
	act := func(id int, what string, act PhoneAct) list.Phone {
		t.Helper()
		phone, err := control.SMS(ctx, id, what, act)
		require.NoError(t, err)
		seen, known, err := control.Phone(ctx, id, act.Phone)
		require.NoError(t, err)
		require.True(t, known)
		require.Equal(t, phone, seen)
		return phone
	}
	subscribed := act(50, "subscribe", PhoneAct{Phone: ann, When: When{Ago: Duration(time.Hour)}})
	require.Equal(t, map[int]list.Subscription{50: {State: list.Subscribed, SubscribedAt: began.Add(-time.Hour)}}, subscribed.Lists)
	require.Equal(t, list.Pending, act(51, "subscribe", PhoneAct{Phone: ann}).Lists[51].State)
	require.Equal(t, list.Subscribed, act(51, "confirm", PhoneAct{Phone: ann}).Lists[51].State)
	require.Equal(t, list.Unsubscribed, act(51, "unsubscribe", PhoneAct{Phone: ann}).Lists[51].State)
	stopped := act(50, "stop", PhoneAct{Phone: ann, When: When{At: began.Add(-time.Minute)}})
	require.True(t, stopped.OptedOut)
	require.Equal(t, began.Add(-time.Minute), stopped.OptedOutAt)
	require.Equal(t, list.OptOutCampaign, stopped.Reason)
	require.False(t, act(50, "start", PhoneAct{Phone: ann}).OptedOut)
	require.Equal(t, list.OptOutDeactivated, act(50, "opt-out", PhoneAct{Phone: ann, Reason: list.OptOutDeactivated}).Reason)
	taken, err := control.ImportPhones(ctx, 50, []string{ann, "+15550002222"})
	require.NoError(t, err)
	require.Equal(t, 1, taken, "who is opted out is not imported")

	require.NoError(t, control.RefusePhone(ctx, 50, "+15550003333", list.PhoneBanned))
	_, err = control.SMS(ctx, 50, "subscribe", PhoneAct{Phone: "+15550003333"})
	require.ErrorContains(t, err, "banned")
	require.NotContains(t, err.Error(), "5550003333")
	require.NoError(t, control.DeletePhone(ctx, 50, ann))
	_, known, err := control.Phone(ctx, 50, ann)
	require.NoError(t, err)
	require.False(t, known)
	_, err = control.SMS(ctx, 50, "stop", PhoneAct{Phone: ann})
	require.ErrorIs(t, err, list.ErrNoContact)
	_, err = control.SMS(ctx, 99, "stop", PhoneAct{Phone: ann})
	require.ErrorIs(t, err, list.ErrNoPhoneList)
	_, err = control.PhoneWrites(ctx, 99)
	require.ErrorIs(t, err, ErrNoSenderCode)
	for _, path := range []string{"/sms/fifty/contact", "/sender-codes/five/writes"} {
		status, _ := send(t, client, request(t, http.MethodGet, sb.ControlURL()+path, ""))
		require.Equal(t, http.StatusNotFound, status, path)
	}
	found, err := sb.SenderCode(5)
	require.NoError(t, err)
	require.Same(t, code, found)
}

func TestControlConfiguresSenderCodesAndResets(t *testing.T) {
	t.Parallel()
	sb, control, client := start(t)
	ctx := t.Context()
	settings := SenderCodeSettings{ID: 6, ClientID: "sms6", Secret: "secret", Zone: "America/New_York", Lists: []list.PhoneList{{ID: 60, Name: "Texts"}}}
	view, err := control.AddSenderCode(ctx, settings)
	require.NoError(t, err)
	require.Equal(t, list.MovesDates, view.SameState)
	_, err = control.AddSenderCode(ctx, settings)
	require.ErrorIs(t, err, ErrExists)
	_, err = control.AddSenderCode(ctx, SenderCodeSettings{ID: 7})
	require.ErrorContains(t, err, "client id")

	// Every setting comes through, and back.
	settings = SenderCodeSettings{ID: 6, Number: "12345", Name: "Six", Country: "CA", ClientID: "sms6", Secret: "s6", Account: "client",
		Lists: []list.PhoneList{{ID: 60, Name: "More texts", DoubleOptIn: true, AgeGate: true, Inactive: true}}, Disabled: true, Zone: "Europe/Berlin",
		ClockSkew: Duration(time.Minute), SameState: list.KeepsDates, OptedOut: list.StaysOut, OptOutLeavesLists: true, StartKeepsDates: true,
		StopReason: list.OptOutAdmin, HidesOptOutDate: true, OnlySubscribed: true, UnpagedOptOuts: true, NumberedReasons: true, Missing404: true,
		LowerStates: true, Spelling: list.OnlyDigits, RefusesPlus: true, NoAccess: true, Paused: true, IPRefused: true, TokenLife: Duration(time.Minute),
		RatePerSecond: 3, MaxBody: 1 << 10, Latency: Duration(time.Millisecond)}
	view, err = control.ConfigureSenderCode(ctx, settings)
	require.NoError(t, err)
	require.Equal(t, settings, view.SenderCodeSettings)
	status, answer := send(t, client, request(t, http.MethodPatch, sb.ControlURL()+"/sender-codes/6", `{"paused":false,"zone":"UTC"}`))
	require.Equal(t, http.StatusOK, status, answer)
	require.Contains(t, answer, "More texts", "settings left out stay")
	for patch, says := range map[string]string{
		`{"spelling":"dashes"}`: "dashes", `{"speling":"plus"}`: "speling", `{"zone":"Mars/Olympus"}`: "IANA", `{"lists":[{"id":61}]}`: "cannot change",
	} {
		status, answer := send(t, client, request(t, http.MethodPatch, sb.ControlURL()+"/sender-codes/6", patch))
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, answer, says)
	}

	code := sb.AddSenderCode(textsConfig())
	require.NoError(t, code.PostContact(50, ann))
	writes, err := control.PhoneWrites(ctx, 5)
	require.NoError(t, err)
	require.Equal(t, []list.PhoneWrite{{At: began, Operation: "POST Contact", Phone: ann, List: 50, State: list.Subscribed, Effective: true,
		Redated: true}}, writes)
	require.NoError(t, control.SetSenderCodeFaults(ctx, 5, Faults{Rules: []FaultRule{{Kind: fault.ServerError}}}))
	_, struck := code.Faults.Next("PUT Contact")
	require.True(t, struck)
	counted, err := control.SenderCodeStruck(ctx, 5)
	require.NoError(t, err)
	require.Equal(t, Struck{fault.ServerError: 1}, counted)
	require.NoError(t, control.Reset(ctx))
	_, struck = code.Faults.Next("PUT Contact")
	require.False(t, struck, "the faults have ended")
	require.Zero(t, code.Len())
	writes, err = control.PhoneWrites(ctx, 5)
	require.NoError(t, err)
	require.Empty(t, writes)
	overview, err := control.Overview(ctx)
	require.NoError(t, err)
	require.Equal(t, sb.ListrakSMSURL(), overview.ListrakSMSURL)
	require.Len(t, overview.SenderCodes, 2)

	require.Panics(t, func() { sb.AddSenderCode(textsConfig()) })
	require.Panics(t, func() { sb.AddSenderCode(list.SenderCodeConfig{ID: 9}) })
}

// Every SMS example of the index does what it says, on a sandbox where ann waits for her double opt-in or, for START, is opted out.
func TestTheIndexTellsTheTruthAboutSMS(t *testing.T) {
	t.Parallel()
	sb, _, client := start(t)
	sb.AddSenderCode(textsConfig())
	_, index := send(t, client, request(t, http.MethodGet, sb.base+"/", ""))
	for _, shown := range []string{sb.ListrakSMSURL(), "sender code   5", "phone list          51", "DELETE Subscription"} {
		require.Contains(t, index, shown)
	}
	for _, a := range sb.smsActions() {
		t.Run(a.method+" "+a.path, func(t *testing.T) {
			t.Parallel()
			own, _, client := start(t)
			code := own.AddSenderCode(textsConfig())
			require.NoError(t, code.Subscribe(51, ann, time.Time{}))
			if strings.HasSuffix(a.path, "/start") {
				require.NoError(t, code.Stop(ann, time.Time{}))
			}
			names := strings.NewReplacer("{code}", "5", "{phonelist}", "50")
			require.Contains(t, index, "'"+sb.ControlURL()+names.Replace(a.path)+"'")
			path := strings.NewReplacer("{code}", "5", "{phonelist}", "51").Replace(a.path)
			status, answer := send(t, client, request(t, a.method, own.ControlURL()+path, a.example))
			require.Equal(t, http.StatusOK, status, answer)
			require.True(t, json.Valid(bytes.TrimSpace([]byte(answer))), answer)
			require.Contains(t, index, a.example)
			require.Equal(t, strings.Contains(a.example, `"inactive":true`), strings.Contains(answer, `"inactive": true`), answer)
		})
	}
}

func TestOurSMSClientMeetsTheSandbox(t *testing.T) {
	t.Parallel()
	sb, _, http := start(t)
	code := sb.AddSenderCode(textsConfig())
	client, err := listrak.NewSMS(listrak.SMSConfig{BaseURL: sb.ListrakSMSURL(), AuthURL: sb.ListrakAuthURL(), ClientID: "sms", ClientSecret: "secret",
		SenderCode: 5, List: 50, Zone: time.UTC, RatePerSecond: 10000, HTTP: http})
	require.NoError(t, err)
	for _, finding := range client.VerifyAccess(t.Context()) {
		require.Truef(t, finding.OK, "%s: %s", finding.What, finding.Advice)
	}
	result, err := client.Subscribe(t.Context(), ann, listrak.SMSSubscribeOptions{})
	require.NoError(t, err)
	require.Equal(t, began, result.ServerTime)
	contact, found, err := client.Contact(t.Context(), ann)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, listrak.SMSContact{Phone: ann, State: listrak.Subscribed, Date: began, RawDate: "2026-11-22T14:03:07", Known: true,
		ServerTime: began}, contact)
	phone, _ := code.Phone(ann)
	require.True(t, phone.Consents(50))
}

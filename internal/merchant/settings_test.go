package merchant

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/concordsync/concord/internal/listrak"
)

func valid(t testing.TB) Settings {
	t.Helper()
	s, err := New("acme.myshopify.com")
	require.NoError(t, err)
	s.EmailList, s.Zone = 345, "America/New_York"
	return s
}

func TestNewFillsInEveryDefault(t *testing.T) {
	t.Parallel()
	s, err := New("https://admin.shopify.com/store/Acme")
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(Settings{
		ID: "acme", Shop: "acme.myshopify.com", ListrakRate: 10, OrderBeforeConsent: time.Minute, ImportMethods: DefaultImportMethods(),
		MachineMethods: DefaultMachineMethods(), SubscriptionSources: []string{"subscription_contract", "subscription_contract_checkout_one"},
		SMS: SMS{Country: "US"},
	}, s))
	_, err = New("acme.com")
	require.ErrorContains(t, err, "--shop")
}

func TestNormalizeNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*Settings)
		want  string // the beginning of the sentence
	}{
		"no shop":               {func(s *Settings) { s.Shop = "" }, "--shop must be a *.myshopify.com domain"},
		"no list":               {func(s *Settings) { s.EmailList = 0 }, "--list must be the id"},
		"a negative list":       {func(s *Settings) { s.EmailList = -345 }, "--list must be the id"},
		"a huge list":           {func(s *Settings) { s.EmailList = math.MaxInt64 }, "--list must be the id"},
		"a negative point":      {func(s *Settings) { s.MarketingEvent = -1 }, "--marketing-event must be the id"},
		"a huge point":          {func(s *Settings) { s.CheckoutEvent = 1 << 31 }, "--checkout-event must be the id"},
		"no zone":               {func(s *Settings) { s.Zone = " " }, "--zone is required"},
		"an unknown zone":       {func(s *Settings) { s.Zone = "America/Newyork" }, "--zone must be the name of an IANA time zone"},
		"the machine's zone":    {func(s *Settings) { s.Zone = "Local" }, "--zone must be the name of an IANA time zone"},
		"a file as a zone":      {func(s *Settings) { s.Zone = "../../etc/passwd" }, "--zone must be the name of an IANA time zone"},
		"an absolute zone":      {func(s *Settings) { s.Zone = "/etc/localtime" }, "--zone must be the name of an IANA time zone"},
		"a huge zone":           {func(s *Settings) { s.Zone = strings.Repeat("A", 1<<20) }, "--zone must be the name of an IANA time zone"},
		"a rate too low":        {func(s *Settings) { s.ListrakRate = 0.05 }, "--listrak-rate must be between 0.1 and 200"},
		"a rate too high":       {func(s *Settings) { s.ListrakRate = 200.5 }, "--listrak-rate must be between 0.1 and 200"},
		"a negative rate":       {func(s *Settings) { s.ListrakRate = -1 }, "--listrak-rate must be between 0.1 and 200"},
		"no number as a rate":   {func(s *Settings) { s.ListrakRate = math.NaN() }, "--listrak-rate must be between 0.1 and 200"},
		"an endless rate":       {func(s *Settings) { s.ListrakRate = math.Inf(1) }, "--listrak-rate must be between 0.1 and 200"},
		"plain http":            {func(s *Settings) { s.ListrakURL = "http://api.example.com" }, "--listrak-url must begin with https://"},
		"http that looks local": {func(s *Settings) { s.ListrakURL = "http://127.0.0.1.example.com" }, "--listrak-url must begin with https://"},
		"http to a private net": {func(s *Settings) { s.ShopifyURL = "http://10.0.0.1" }, "--shopify-url must begin with https://"},
		"another scheme":        {func(s *Settings) { s.ListrakAuthURL = "file:///etc/passwd" }, "--listrak-auth-url must be an address"},
		"no scheme":             {func(s *Settings) { s.ListrakURL = "api.example.com" }, "--listrak-url must be an address"},
		"no host":               {func(s *Settings) { s.ListrakURL = "https://" }, "--listrak-url must be an address"},
		"a password in it":      {func(s *Settings) { s.ListrakURL = "https://me:s3cr3t@example.com" }, "--listrak-url must not hold a user name"},
		"a query":               {func(s *Settings) { s.ListrakURL = "https://example.com/?key=s3cr3t" }, "--listrak-url must be a base address"},
		"a fragment":            {func(s *Settings) { s.ListrakURL = "https://example.com/#s3cr3t" }, "--listrak-url must be a base address"},
		"a port too high":       {func(s *Settings) { s.ListrakURL = "https://example.com:65536" }, "--listrak-url must have a port"},
		"a port of letters":     {func(s *Settings) { s.ListrakURL = "https://example.com:s3cr3t" }, "--listrak-url must be an address"},
		"a line break":          {func(s *Settings) { s.ListrakURL = "https://example.com/\r\nX: s3cr3t" }, "--listrak-url must be an address"},
		"a huge address":        {func(s *Settings) { s.ListrakURL = "https://example.com/" + strings.Repeat("a", 5000) }, "--listrak-url must be an address"},
		"an empty method":       {func(s *Settings) { s.ImportMethods = []string{"Import", " "} }, "--import-methods must be a list of names"},
		"a method of dots":      {func(s *Settings) { s.MachineMethods = []string{"..."} }, "--machine-methods must be a list of names"},
		"a broken method":       {func(s *Settings) { s.MachineMethods = []string{"a\nb"} }, "--machine-methods must be a list of names"},
		"too many sources":      {func(s *Settings) { s.SubscriptionSources = make([]string, 101) }, "--subscription-sources must not have more than 100"},
		"a method in both":      {func(s *Settings) { s.MachineMethods = []string{"list-import"} }, "--machine-methods and --import-methods must not share"},
		"orders far before":     {func(s *Settings) { s.OrderBeforeConsent = 16 * time.Minute }, "--order-before-consent must be between"},
		"a negative limit":      {func(s *Settings) { s.ResubscribeLimit = -1 }, "--resubscribe-limit must be a number of people"},
		"a list of no code":     {func(s *Settings) { s.SMS.List = 9 }, "--sms-sender-code is required with --sms-list"},
		"a code without a list": {func(s *Settings) { s.SMS.SenderCode = 9 }, "--sms-list is required with --sms-sender-code"},
		"a checkout list alone": {func(s *Settings) { s.SMS.CheckoutList = 9 }, "--sms-checkout-list is a second list"},
		"one list for both": {func(s *Settings) { s.SMS = SMS{SenderCode: 1, List: 9, CheckoutList: 9, Country: "US"} },
			"--sms-checkout-list must be another list"},
		"a negative code":     {func(s *Settings) { s.SMS.SenderCode, s.SMS.List = -1, 9 }, "--sms-sender-code must be the id of a sender code"},
		"no country":          {func(s *Settings) { s.SMS.Country = "Atlantis" }, "--country must be the ISO 3166 code"},
		"an unknown spelling": {func(s *Settings) { s.SMS.Spelling = "words" }, "--sms-phone-spelling must be plus, digits or national"},
		"an open SMS address": {func(s *Settings) { s.SMS.URL = "http://api.example.com" }, "--listrak-sms-url must begin with https://"},
		"unknown webhooks":    {func(s *Settings) { s.Webhooks = "on" }, "--webhooks must be api, app or off"},
		"a huge limit":        {func(s *Settings) { s.ResubscribeLimit = 1 << 31 }, "--resubscribe-limit must be a number of people"},
		"orders after":        {func(s *Settings) { s.OrderBeforeConsent = -time.Second }, "--order-before-consent must be between"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := valid(t)
			c.spoil(&s)
			err := s.Normalize()
			require.Error(t, err)
			require.True(t, strings.HasPrefix(err.Error(), c.want), "%q does not begin with %q", err, c.want)
			require.NotContains(t, err.Error(), "\n", "one mistake is one line")
			require.NotContains(t, err.Error(), "s3cr3t")
			var invalid *Invalid
			require.ErrorAs(t, err, &invalid)
			require.True(t, strings.HasPrefix(invalid.Setting, "--"))
		})
	}

	t.Run("all at once", func(t *testing.T) {
		t.Parallel()
		err := (&Settings{ListrakURL: "ftp://x"}).Normalize()
		for _, flag := range []string{"--shop", "--list", "--zone", "--listrak-url"} {
			require.ErrorContains(t, err, flag)
		}
	})
}

func TestNormalizeBringsEverythingIntoOneForm(t *testing.T) {
	t.Parallel()
	address := func(text string) string {
		s := valid(t)
		s.ListrakURL = text
		require.NoError(t, s.Normalize(), text)
		return s.ListrakURL
	}
	for in, want := range map[string]string{
		" https://API.example.com/ ":     "https://api.example.com",
		"https://api.example.com:443":    "https://api.example.com",
		"https://api.example.com:8443//": "https://api.example.com:8443",
		"HTTPS://api.example.com/Base/":  "https://api.example.com/Base",
		"http://localhost:8080":          "http://localhost:8080",
		"http://127.8.9.1":               "http://127.8.9.1",
		"http://[::1]:80/x":              "http://[::1]/x",
		"":                               "",
		"https://api.listrak.com":        "",
		"https://API.listrak.com:443/":   "",
		"https://api.listrak.com/email/": "",
	} {
		require.Equal(t, want, address(in), in)
	}

	require.Equal(t, listrak.DefaultBaseURL, ListrakURL)
	require.Equal(t, listrak.DefaultAuthURL, ListrakAuthURL)
	require.Equal(t, listrak.DefaultPrivacyURL, ListrakPrivacyURL)

	s := valid(t)
	s.Shop, s.Zone = "https://ACME.myshopify.com/admin", " UTC "
	s.ShopifyURL, s.ListrakAuthURL = "https://acme.myshopify.com/", "https://auth.listrak.com/OAuth2/Token"
	s.ListrakRate, s.ImportMethods, s.SubscriptionSources = 0, []string{" Import", "import", "IMPORT "}, []string{}
	require.NoError(t, s.Normalize())
	require.Equal(t, "acme", s.ID)
	require.Equal(t, "acme.myshopify.com", s.Shop)
	require.Equal(t, "UTC", s.Zone)
	require.Empty(t, s.ShopifyURL)
	require.Empty(t, s.ListrakAuthURL)
	require.InDelta(t, 10, s.ListrakRate, 0)
	require.Equal(t, []string{"Import"}, s.ImportMethods)
	require.Empty(t, s.SubscriptionSources)
	require.NotNil(t, s.SubscriptionSources, "an empty list means none, and must not become the default later")
}

func TestTheLimitOnResubscriptionsGrowsOnlyByDefault(t *testing.T) {
	t.Parallel()
	s := valid(t)
	require.EqualValues(t, 100, s.ResubscriptionLimit().Of(999))
	require.EqualValues(t, 350, s.ResubscriptionLimit().Of(250_000))
	s.ResubscribeLimit = 7
	require.EqualValues(t, 7, s.ResubscriptionLimit().Of(250_000))
}

func TestMethodsAndSourcesAreMatchedByLettersAndDigits(t *testing.T) {
	t.Parallel()
	s := valid(t)
	require.NoError(t, s.Normalize())
	for _, method := range []string{"Import", "import", "ListImport", "list_import", "LIST-IMPORT"} {
		require.True(t, s.IsImport(method), method)
	}
	for _, method := range []string{"", "API", "Form", "Imported by hand", "?", "Important"} {
		require.False(t, s.IsImport(method), method)
	}
	for _, method := range []string{"Bounce", "HardBounce", "List Hygiene"} {
		require.True(t, s.IsMachine(method), method)
	}
	for _, method := range []string{"", "API", "Unsubscribe Link", "Abuse", "Something New"} {
		require.False(t, s.IsMachine(method), "a method that we do not know is a person's no: %s", method)
	}
	require.True(t, s.IsRenewal("subscription_contract"))
	for _, source := range []string{"", "web", "pos", "shopify_draft_order", "580111"} {
		require.False(t, s.IsRenewal(source), source)
	}
	s.SubscriptionSources = []string{"580111"}
	require.True(t, s.IsRenewal("580111"))
}

func settingsGenerator(t *rapid.T) Settings {
	names := rapid.SliceOfN(rapid.StringMatching(`[A-Za-z][A-Za-z0-9 _-]{0,20}[0-9]`), 0, 5)
	return Settings{
		Shop:                rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,30}`).Draw(t, "shop") + ".myshopify.com",
		ShopifyURL:          rapid.SampledFrom([]string{"", "http://127.0.0.1:8080", "https://example.com/a/"}).Draw(t, "Shopify"),
		ListrakURL:          rapid.SampledFrom([]string{"", "http://[::1]:1", "https://api.listrak.com"}).Draw(t, "Listrak"),
		EmailList:           rapid.IntRange(1, maxNumber-1).Draw(t, "list"),
		MarketingEvent:      rapid.IntRange(0, maxNumber-1).Draw(t, "marketing"),
		CheckoutEvent:       rapid.IntRange(0, maxNumber-1).Draw(t, "checkout"),
		Zone:                rapid.SampledFrom([]string{"UTC", "America/New_York", "Asia/Kathmandu"}).Draw(t, "zone"),
		ZoneProven:          rapid.Bool().Draw(t, "proven"),
		ListrakRate:         rapid.Float64Range(0.1, 200).Draw(t, "rate"),
		ImportMethods:       names.Draw(t, "imports"),
		SubscriptionSources: rapid.SampledFrom([][]string{nil, {}, {"a"}}).Draw(t, "sources"),
		MachineMethods:      rapid.SampledFrom([][]string{nil, {}, {"Bounce!"}}).Draw(t, "machines"),
		Webhooks:            rapid.SampledFrom([]WebhookMode{"", WebhooksByAPI, WebhooksByApp, WebhooksOff}).Draw(t, "webhooks"),
		SMS: SMS{
			SenderCode: 5, List: rapid.IntRange(1, 1000).Draw(t, "sms list"), CheckoutList: rapid.SampledFrom([]int{0, 2000}).Draw(t, "sms checkout list"),
			Country: rapid.SampledFrom([]string{"US", "DE"}).Draw(t, "country"), NoWindow: rapid.Bool().Draw(t, "no window"),
			OptOut: rapid.Bool().Draw(t, "opt out"), Spelling: rapid.SampledFrom([]PhoneSpelling{"", SpellDigits, SpellNational}).Draw(t, "spelling"),
		},
		ResubscribeLimit:   rapid.IntRange(0, maxNumber-1).Draw(t, "limit"),
		OrderBeforeConsent: time.Duration(rapid.Int64Range(0, int64(MaxOrderBeforeConsent)).Draw(t, "before")),
	}
}

func TestSettingsSurviveTheirJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := settingsGenerator(t)
		if err := s.Normalize(); err != nil {
			t.Fatal(err)
		}
		for name, write := range map[string]func() ([]byte, error){
			"shown":  func() ([]byte, error) { return json.Marshal(s) },
			"stored": func() ([]byte, error) { return encode(s, nil) },
			"over":   func() ([]byte, error) { return encode(s, []byte(`{"version":1,"email_list":1,"new_field":{"a":1}}`)) },
		} {
			data, err := write()
			if err != nil {
				t.Fatal(err)
			}
			var back Settings
			if err := json.Unmarshal(data, &back); err != nil {
				t.Fatalf("%s: %v in %s", name, err, data)
			}
			if diff := cmp.Diff(s, back); diff != "" {
				t.Fatalf("%s: %s\n%s", name, data, diff)
			}
			if err := back.Normalize(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(s, back); diff != "" {
				t.Fatalf("normalizing twice changes:\n%s", diff)
			}
		}
	})
}

func TestStoredSettingsOutliveBuilds(t *testing.T) {
	t.Parallel()
	t.Run("fields of a newer build stay", func(t *testing.T) {
		t.Parallel()
		s := valid(t)
		data, err := encode(s, []byte(`{"version":1,"zone":"UTC","import_methods":["old"],"sms_list":[1,2]}`))
		require.NoError(t, err)
		var fields map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(data, &fields))
		require.JSONEq(t, `[1,2]`, string(fields["sms_list"]))
		require.JSONEq(t, `"America/New_York"`, string(fields["zone"]))
		require.NotContains(t, fields, "import_methods", "what became the default again must not stay as it was")
	})
	t.Run("missing fields get their default", func(t *testing.T) {
		t.Parallel()
		var s Settings
		require.NoError(t, json.Unmarshal([]byte(`{"version":1,"shop":"acme.myshopify.com","id":"acme","later":true}`), &s))
		want, err := New("acme.myshopify.com")
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(want, s))
	})
	t.Run("the default is not frozen", func(t *testing.T) {
		t.Parallel()
		data, err := encode(valid(t), nil)
		require.NoError(t, err)
		require.NotContains(t, string(data), "methods")
		require.NotContains(t, string(data), "order_before_consent")
	})
	t.Run("a newer form is not guessed at", func(t *testing.T) {
		t.Parallel()
		require.ErrorIs(t, json.Unmarshal([]byte(`{"version":2}`), &Settings{}), ErrNewerSettings)
	})
	for _, broken := range []string{`{}`, `[]`, `{"version":1,"email_list":"x"}`, `{"version":1,"order_before_consent":"soon"}`} {
		require.Error(t, json.Unmarshal([]byte(broken), &Settings{}), broken)
	}
}

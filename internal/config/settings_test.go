package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// dataHome stands for $XDG_DATA_HOME in all tests of the package.
var dataHome string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		directory, err := os.MkdirTemp("", "concord-config-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(directory)
		dataHome = directory
		return m.Run()
	}())
}

// environment sets exactly these variables of ours. Tests that call it cannot be parallel.
func environment(t *testing.T, variables map[string]string) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, Prefix+"_") {
			t.Setenv(name, "") // so that it comes back after the test
			os.Unsetenv(name)
		}
	}
	t.Setenv("XDG_DATA_HOME", dataHome)
	for name, value := range variables {
		t.Setenv(name, value)
	}
}

func defaults(t *testing.T) Settings {
	t.Helper()
	environment(t, nil)
	settings, err := Load()
	if err != nil {
		t.Fatalf("nothing set, and the defaults are refused: %v", err)
	}
	return settings
}

func TestDefaults(t *testing.T) {
	want := Settings{
		Ledger: DSN("sqlite:" + filepath.Join(dataHome, "concord", "concord.db")), TaskQueue: "concord",
		Interval: time.Minute, RoundLimit: 45 * time.Second, CheckoutWindow: 5 * time.Minute, OrderLag: time.Minute, MaxHeld: 500, ListComparison: 6 * time.Hour,
		CallTimeout: 20 * time.Second, ClaimLease: time.Minute, RunLease: 90 * time.Second,
		EventLookBack:   30 * 24 * time.Hour,
		OptOutRetention: 3 * 365 * 24 * time.Hour, ExportDirectory: filepath.Join(dataHome, "concord", "exports"),
		LogLevel: slog.LevelInfo, LogFormat: "text",
	}
	if difference := cmp.Diff(want, defaults(t)); difference != "" {
		t.Errorf("defaults differ (-want +got):\n%s", difference)
	}
}

// Every field is set through the variable that the table names, so that documentation and reading cannot part.
func TestEachVariableOfTheTableSetsItsField(t *testing.T) {
	given := map[reflect.Type]string{
		reflect.TypeFor[DSN]():        "postgres://reader@db/concord",
		reflect.TypeFor[Secret]():     "s3cret",
		reflect.TypeFor[string]():     "words",
		reflect.TypeFor[bool]():       "true",
		reflect.TypeFor[slog.Level](): "WARN",
		reflect.TypeFor[int]():        "7",
	}
	standard := defaults(t)
	for field := range standard.fields() {
		t.Run(variable(field), func(t *testing.T) {
			value := given[field.Type]
			switch field.Name {
			case "LogFormat":
				value = "json"
			case "WebhookAddress":
				value = "127.0.0.1:8080"
			case "PublicURL":
				value = "https://sync.example"
			case "RunLease", "ClaimLease", "ListComparison":
				value = "11m0s"
			case "Interval", "RoundLimit", "CheckoutWindow", "OrderLag", "CallTimeout", "OptOutRetention":
				value = "3s"
			case "EventLookBack":
				value = "48h0m0s"
			}
			given := map[string]string{variable(field): value}
			if field.Name == "WorkerVersioning" {
				given["CONCORD_WORKER_BUILD_ID"] = "v1" // a test does not know its commit
			}
			environment(t, given)
			settings, err := Load()
			if err != nil {
				t.Fatal(err)
			}
			got := reflect.ValueOf(settings).FieldByName(field.Name)
			if got.Kind() == reflect.String && got.String() != value || got.Kind() != reflect.String && text(got) != value {
				t.Errorf("%s=%s gives %v", variable(field), value, got)
			}
			// Nothing else may read it: a bare LOG_LEVEL or INTERVAL of another program must not become ours.
			environment(t, map[string]string{strings.TrimPrefix(variable(field), Prefix+"_"): "nonsense"})
			if settings, err := Load(); err != nil || !cmp.Equal(settings, standard) {
				t.Errorf("the same name without %s_ changes the settings: %v", Prefix, err)
			}
		})
	}
}

func TestBadValuesAreRefusedByName(t *testing.T) {
	for _, row := range []struct{ variable, value, want string }{
		{"CONCORD_INTERVAL", "soon", `CONCORD_INTERVAL is "soon": a duration from 100ms to 1h, such as 1m`},
		{"CONCORD_INTERVAL", "", `CONCORD_INTERVAL is "": a duration`},
		{"CONCORD_INTERVAL", "60", `CONCORD_INTERVAL is "60": a duration`},
		{"CONCORD_INTERVAL", "0s", `CONCORD_INTERVAL is 0s: a duration from 100ms`},
		{"CONCORD_INTERVAL", "-1m", `CONCORD_INTERVAL is -1m0s`},
		{"CONCORD_CHECKOUT_WINDOW", "16m", `CONCORD_CHECKOUT_WINDOW is 16m0s: a duration from 1s to 15m`},
		{"CONCORD_MAX_HELD", "many", `CONCORD_MAX_HELD is "many": a whole number from 1 to 5000`},
		{"CONCORD_MAX_HELD", "0", `CONCORD_MAX_HELD is 0: a whole number`},
		{"CONCORD_MAX_HELD", "99999999999999999999", `CONCORD_MAX_HELD is "99999999999999999999"`},
		{"CONCORD_LOG_LEVEL", "loud", `CONCORD_LOG_LEVEL is "loud": one of debug, info, warn, error`},
		{"CONCORD_LOG_LEVEL", "info+3", `CONCORD_LOG_LEVEL is INFO+3: one of`},
		{"CONCORD_LOG_FORMAT", "xml", `CONCORD_LOG_FORMAT is xml: one of text, json`},
		{"CONCORD_WORKER_VERSIONING", "perhaps", `CONCORD_WORKER_VERSIONING is "perhaps": true or false`},
		{"CONCORD_WORKER_VERSIONING", "true", `CONCORD_WORKER_BUILD_ID is not set`},
		{"CONCORD_TASK_QUEUE", "", `CONCORD_TASK_QUEUE is empty`},
		{"CONCORD_WEBHOOK_ADDRESS", "8080", `CONCORD_WEBHOOK_ADDRESS is "8080": it is HOST:PORT or :PORT, such as :8080`},
		{"CONCORD_WEBHOOK_ADDRESS", "http://0.0.0.0:8080", `CONCORD_WEBHOOK_ADDRESS is "http://0.0.0.0:8080"`},
		{"CONCORD_WEBHOOK_ADDRESS", "0.0.0.0:", `CONCORD_WEBHOOK_ADDRESS is "0.0.0.0:"`},
		{"CONCORD_LEDGER", "mysql://root:hunter2@db/x", `CONCORD_LEDGER begins with neither sqlite: nor postgres://`},
		{"CONCORD_PUBLIC_URL", "sync.example", `CONCORD_PUBLIC_URL is not an address such as https://sync.example`},
		{"CONCORD_PUBLIC_URL", "http://sync.example", `CONCORD_PUBLIC_URL is not`},
		{"CONCORD_PUBLIC_URL", "https://user:hunter2@sync.example", `CONCORD_PUBLIC_URL is not`},
		{"CONCORD_PUBLIC_URL", "https://sync.example/?a=b", `CONCORD_PUBLIC_URL is not`},
		{"CONCORD_PUBLIC_URL", "https:///webhooks", `CONCORD_PUBLIC_URL is not`},
		{"CONCORD_CLAIM_LEASE", "20s", `CONCORD_CLAIM_LEASE is 20s: longer than CONCORD_CALL_TIMEOUT (20s)`},
		{"CONCORD_RUN_LEASE", "65s", `CONCORD_RUN_LEASE is 1m5s: longer than CONCORD_ROUND_LIMIT and CONCORD_CALL_TIMEOUT together (1m5s)`},
	} {
		t.Run(row.variable+"="+row.value, func(t *testing.T) {
			environment(t, map[string]string{row.variable: row.value})
			_, err := Load()
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want it to hold %q", err, row.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}

func TestTheDefaultLedgersDirectoryIsMadeForItsOwnerOnly(t *testing.T) {
	environment(t, nil)
	home := filepath.Join(t.TempDir(), "not", "there", "yet")
	t.Setenv("XDG_DATA_HOME", home)
	if _, err := Load(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(home, "concord"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v; want mode 0700", info, err)
	}

	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_DATA_HOME", blocked)
	if _, err := Load(); err == nil || !strings.Contains(err.Error(), "CONCORD_LEDGER is not set and the directory") {
		t.Errorf("got %v, want an error that names CONCORD_LEDGER", err)
	}
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	environment(t, map[string]string{
		"CONCORD_MASTER_KEY": "s3cret", "CONCORD_MASTER_KEY_FILE": "/run/key", "CONCORD_MAX_HELD": "0", "CONCORD_LOG_FORMAT": "xml",
	})
	_, err := Load()
	for _, name := range []string{"CONCORD_MASTER_KEY and CONCORD_MASTER_KEY_FILE are both set", "CONCORD_MAX_HELD", "CONCORD_LOG_FORMAT"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not speak of %s", err, name)
		}
	}
	if err != nil && strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the error shows the key: %v", err)
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	environment(t, map[string]string{
		"CONCORD_MASTER_KEY": "s3cret", "CONCORD_LEDGER": "postgres://concord:hunter2@db:5432/ledger?sslmode=disable&password=hunter2",
	})
	settings, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if settings.MasterKey.Reveal() != "s3cret" || !strings.Contains(settings.Ledger.Reveal(), "hunter2") {
		t.Fatal("the secrets cannot be used either")
	}
	asJSON, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("started", "settings", settings, "ledger", settings.Ledger, "key", settings.MasterKey)
	for way, shown := range map[string]string{
		"%v": fmt.Sprintf("%v", settings), "%+v": fmt.Sprintf("%+v", settings), "%#v": fmt.Sprintf("%#v", settings),
		"%v of a pointer": fmt.Sprintf("%v", &settings), "JSON": string(asJSON), "log": logged.String(), "table": fmt.Sprint(settings.Table()),
	} {
		if strings.Contains(shown, "s3cret") || strings.Contains(shown, "hunter2") {
			t.Errorf("%s shows a secret: %s", way, shown)
		}
	}
}

func TestWhatIsShownOfALedger(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[DSN]string{
		"":                                     "",
		"sqlite:/var/lib/concord.db":           "sqlite:/var/lib/concord.db",
		"postgres://concord:pw@db:5432/ledger": "postgres://concord@db:5432/ledger",
		"postgresql://db/ledger?password=pw":   "postgresql://db/ledger",
		"postgres://concord:p%w@db/ledger":     hidden,
		"postgres:password=pw":                 hidden,
		"password=pw host=db":                  hidden,
	} {
		if got := dsn.String(); got != want {
			t.Errorf("%q is shown as %q, want %q", string(dsn), got, want)
		}
	}
}

func TestTheTableDocumentsEverySetting(t *testing.T) {
	t.Parallel()
	markdown := Markdown()
	for _, row := range (Settings{}).Table() {
		if row.Description == "" {
			t.Errorf("%s has no description", row.Variable)
		}
		if !strings.Contains(markdown, "| `"+row.Variable+"` |") {
			t.Errorf("%s is missing in the table for the README", row.Variable)
		}
	}
}

func TestTheTableShowsWhatIsSet(t *testing.T) {
	environment(t, map[string]string{"CONCORD_INTERVAL": "30s", "CONCORD_MASTER_KEY": "s3cret"})
	settings, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]Setting{}
	for _, row := range settings.Table() {
		rows[row.Variable] = row
	}
	if row := rows["CONCORD_INTERVAL"]; row.Value != "30s" || !row.Set || row.Default != "1m" || row.Allowed == "" {
		t.Errorf("interval: %+v", row)
	}
	if row := rows["CONCORD_MASTER_KEY"]; row.Value != hidden || !row.Set {
		t.Errorf("master key: %+v", row)
	}
	if row := rows["CONCORD_ROUND_LIMIT"]; row.Value != "45s" || row.Set {
		t.Errorf("round limit: %+v", row)
	}
}

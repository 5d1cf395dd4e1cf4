// Package config holds every setting of Concord's own processes in one struct, read from the environment. How to reach Temporal
// is not here: that is Temporal's own business (TEMPORAL_ADDRESS, profiles; go.temporal.io/sdk/contrib/envconfig), and neither is
// anything of one merchant, which lives in the ledger.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
)

// Prefix begins the name of every variable.
const Prefix = "CONCORD"

// Settings of a worker or of the command line. Each field is the variable CONCORD_ and its words in capitals: RoundLimit is
// CONCORD_ROUND_LIMIT. The tags are the documentation: `default` what holds when the variable is not set, `desc` what it is for,
// `min`, `max` and `oneof` what Validate allows.
type Settings struct {
	Ledger DSN `split_words:"true" desc:"Where the ledger is: sqlite:PATH (a file on a local disk, one worker) or postgres://user:password@host/database (any number of workers)." shown:"sqlite:concord.db in the user's data directory"`

	MasterKey     Secret `split_words:"true" desc:"The master key itself, as starter key generate prints it. Needed with PostgreSQL; with SQLite a key file is made beside the database."`
	MasterKeyFile string `split_words:"true" desc:"A file that holds the master key, such as a mounted secret. Instead of CONCORD_MASTER_KEY."`

	TaskQueue        string `split_words:"true" default:"concord" desc:"Temporal task queue that workers poll and workflows run on."`
	WorkerVersioning bool   `split_words:"true" default:"false" desc:"Temporal's Worker Versioning. A versioned worker gets no work until an operator makes its version the current one."`
	WorkerBuildID    string `split_words:"true" desc:"Version of this worker when versioning is on." shown:"the commit it was built from"`

	Interval       time.Duration `split_words:"true" default:"1m" min:"100ms" max:"1h" desc:"From the start of one round of a merchant to the start of the next."`
	RoundLimit     time.Duration `split_words:"true" default:"45s" min:"1s" max:"10m" desc:"A round stops itself after this long and goes on from its cursor in the next."`
	CheckoutWindow time.Duration `split_words:"true" default:"5m" min:"1s" max:"15m" desc:"How long after a consent an order still makes it a checkout subscription."`
	OrderLag       time.Duration `split_words:"true" default:"60s" min:"0s" max:"10m" desc:"How long after the end of a checkout window its last look-up waits for orders that Shopify shows late."`
	MaxHeld        int           `split_words:"true" default:"500" min:"1" max:"5000" desc:"Consents of one merchant that wait for an order at the same time; more are settled in batches when they are old enough."`
	ListComparison time.Duration `split_words:"true" default:"6h" min:"1m" max:"168h" desc:"How often all subscribers of an SMS list are read, to find those who have left the list alone: Listrak tells only who has opted out of a sender code."`

	CallTimeout time.Duration `split_words:"true" default:"20s" min:"1s" max:"5m" desc:"Longest single call to Shopify or Listrak."`
	ClaimLease  time.Duration `split_words:"true" default:"1m" min:"2s" max:"30m" desc:"How long a claimed delivery belongs to one process. Longer than CONCORD_CALL_TIMEOUT, so that a call ends before its claim."`
	RunLease    time.Duration `split_words:"true" default:"90s" min:"2s" max:"30m" desc:"How long a merchant's round belongs to one process. Longer than CONCORD_ROUND_LIMIT and CONCORD_CALL_TIMEOUT together."`

	EventLookBack time.Duration `split_words:"true" default:"720h" min:"24h" max:"2160h" desc:"How far back email and SMS events are read and taken in; a message that was sent earlier is not read any more."`

	WebhookAddress  string        `split_words:"true" desc:"Where a worker takes Shopify's webhooks, as HOST:PORT or :PORT, such as :8080; empty for not at all. It speaks plain HTTP: put a reverse proxy with HTTPS in front."`
	PublicURL       string        `split_words:"true" desc:"The public https:// address under which Shopify reaches a worker's webhooks, such as https://sync.example; they go to its /webhooks/ and the merchant's id. Without one Concord works by polling alone." shown:"none: polling"`
	OptOutRetention time.Duration `split_words:"true" default:"26280h" min:"0s" max:"262800h" shown:"26280h, which is three years" desc:"How long the hashes of people who had unsubscribed are kept after Shopify has asked to erase a shop that uninstalled the app, in case it comes back."`
	ExportDirectory string        `split_words:"true" shown:"exports in the user's data directory" desc:"Where a worker writes the files with all that is held of a person who asked for it."`

	LogLevel  slog.Level `split_words:"true" default:"info" oneof:"debug info warn error" desc:"Least level that is logged."`
	LogFormat string     `split_words:"true" default:"text" oneof:"text json" desc:"Form of a log line."`

	TemporalCLI string `split_words:"true" desc:"A Temporal CLI for starter dev, starter demo and the tests." shown:"temporal on the PATH, else one is built"`
}

// Load reads the settings from the environment, fills in the defaults and validates. With the default ledger it also makes the
// user's data directory. Its errors name the variable, what it holds unless that is secret, and what is allowed.
func Load() (Settings, error) {
	var s Settings
	if err := envconfig.Process(Prefix, &s); err != nil {
		var parse *envconfig.ParseError
		if errors.As(err, &parse) {
			// The values that can fail to parse are durations, numbers, levels and switches, never a secret. The parser's own text
			// is left out: it speaks of Go types.
			return Settings{}, fmt.Errorf("read settings: %s is %q: %s", parse.KeyName, parse.Value, allowed(fieldNamed(parse.FieldName)))
		}
		return Settings{}, fmt.Errorf("read settings: %w", err)
	}
	if s.WorkerVersioning && s.WorkerBuildID == "" {
		s.WorkerBuildID = commit()
	}
	if s.ExportDirectory == "" {
		// Where it is not known it stays empty: few need it, and the export says so.
		if directory, err := DataDirectory(); err == nil {
			s.ExportDirectory = filepath.Join(directory, "exports")
		}
	}
	own := s.Ledger == ""
	if own {
		directory, err := DataDirectory()
		if err != nil {
			return Settings{}, fmt.Errorf("read settings: %s_LEDGER is not set and the user's data directory is unknown: %w", Prefix, err)
		}
		s.Ledger = DSN("sqlite:" + filepath.Join(directory, "concord.db"))
	}
	if err := s.Validate(); err != nil {
		return Settings{}, fmt.Errorf("read settings: %w", err)
	}
	if own {
		// For nobody else: the ledger and, beside it, its key will lie there.
		if err := os.MkdirAll(filepath.Dir(strings.TrimPrefix(s.Ledger.Reveal(), "sqlite:")), 0o700); err != nil {
			return Settings{}, fmt.Errorf("read settings: %s_LEDGER is not set and the directory of the default ledger cannot be made: %w",
				Prefix, err)
		}
	}
	return s, nil
}

// commit is the revision that this program was built from, empty when the build did not record one (go run, a build without the
// repository).
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return ""
}

// Validate returns everything that is wrong, joined, each naming its variable and what is allowed.
func (s Settings) Validate() error {
	var wrong []error
	for field, value := range s.fields() {
		if !within(field, value) {
			wrong = append(wrong, fmt.Errorf("%s is %s: %s", variable(field), text(value), allowed(field)))
		}
	}
	if !s.Ledger.known() {
		wrong = append(wrong, fmt.Errorf("%s_LEDGER begins with neither sqlite: nor postgres://", Prefix))
	}
	if s.PublicURL != "" && !publicAddress(s.PublicURL) {
		wrong = append(wrong, fmt.Errorf("%s_PUBLIC_URL is not an address such as https://sync.example, without user, query and fragment "+
			"(http:// is only for this machine: localhost, 127.0.0.1, [::1])", Prefix))
	}
	if s.MasterKey != "" && s.MasterKeyFile != "" {
		wrong = append(wrong, fmt.Errorf("%s_MASTER_KEY and %[1]s_MASTER_KEY_FILE are both set: unset one of them", Prefix))
	}
	if s.TaskQueue == "" {
		wrong = append(wrong, fmt.Errorf("%s_TASK_QUEUE is empty: name a task queue, or unset it for the default", Prefix))
	}
	if s.WorkerVersioning && s.WorkerBuildID == "" {
		wrong = append(wrong, fmt.Errorf("%s_WORKER_BUILD_ID is not set, and this program does not know the commit it was built from: "+
			"%[1]s_WORKER_VERSIONING needs one", Prefix))
	}
	if _, port, err := net.SplitHostPort(s.WebhookAddress); s.WebhookAddress != "" && (err != nil || port == "") {
		wrong = append(wrong, fmt.Errorf("%s_WEBHOOK_ADDRESS is %q: it is HOST:PORT or :PORT, such as :8080", Prefix, s.WebhookAddress))
	}
	if s.ClaimLease <= s.CallTimeout {
		wrong = append(wrong, fmt.Errorf("%s_CLAIM_LEASE is %s: longer than %[1]s_CALL_TIMEOUT (%s) is needed, or a call could still "+
			"write after its claim has passed to another process", Prefix, s.ClaimLease, s.CallTimeout))
	}
	if s.RunLease <= s.RoundLimit+s.CallTimeout {
		wrong = append(wrong, fmt.Errorf("%s_RUN_LEASE is %s: longer than %[1]s_ROUND_LIMIT and %[1]s_CALL_TIMEOUT together (%s) is "+
			"needed, or two processes could work on one merchant", Prefix, s.RunLease, s.RoundLimit+s.CallTimeout))
	}
	return errors.Join(wrong...)
}

// publicAddress says whether webhooks can be sent to an address. Plain http is for a sandbox on the same machine.
func publicAddress(text string) bool {
	address, err := url.Parse(text)
	if err != nil || address.Hostname() == "" || address.User != nil || address.RawQuery != "" || address.ForceQuery || address.Fragment != "" {
		return false
	}
	if address.Scheme == "https" {
		return true
	}
	host, err := netip.ParseAddr(address.Hostname())
	return address.Scheme == "http" && (address.Hostname() == "localhost" || err == nil && host.IsLoopback())
}

// within checks a value against the tags of its field.
func within(field reflect.StructField, value reflect.Value) bool {
	if options, ok := field.Tag.Lookup("oneof"); ok {
		for _, option := range strings.Fields(options) {
			if strings.EqualFold(text(value), option) {
				return true
			}
		}
		return false
	}
	low, bounded := field.Tag.Lookup("min")
	if !bounded {
		return true
	}
	return number(field, low) <= value.Int() && value.Int() <= number(field, field.Tag.Get("max"))
}

// number reads a bound out of a tag. A test reads them all, so that a wrong tag cannot reach a process.
func number(field reflect.StructField, bound string) int64 {
	if field.Type == reflect.TypeFor[time.Duration]() {
		duration, err := time.ParseDuration(bound)
		if err != nil {
			panic(fmt.Sprintf("config: the bounds of %s: %v", field.Name, err))
		}
		return int64(duration)
	}
	n, err := strconv.ParseInt(bound, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("config: the bounds of %s: %v", field.Name, err))
	}
	return n
}

// DataDirectory is where this user's own state is kept when nothing else is said: $XDG_DATA_HOME/concord or
// ~/.local/share/concord, on macOS and Windows the places usual there.
func DataDirectory() (string, error) {
	if directory := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(directory) {
		return filepath.Join(directory, "concord"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	switch runtime.GOOS {
	case "windows":
		return filepath.Join(home, "AppData", "Local", "concord"), nil
	case "darwin":
		return filepath.Join(home, "Library", "Application Support", "concord"), nil
	default:
		return filepath.Join(home, ".local", "share", "concord"), nil
	}
}

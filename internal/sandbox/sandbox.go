// Package sandbox runs Shopify stores and Listrak lists on this machine, behind one real HTTP address: the same requests, answers,
// limits and failures as contracts/shopify.md and contracts/listrak.md describe. The models are in the packages shop and list,
// the ways of failing in package fault; this package puts them together and adds a control API, by which a test, a demo or a
// person with curl acts as the people whose consent is being kept.
//
// Everything hangs under one address, which GET / explains:
//
//	/shopify/{domain}           a store's base address: POST /admin/oauth/access_token, POST /admin/api/2026-10/graphql.json
//	/listrak                    Listrak's Email API: /v1/List/…
//	/listrak-privacy            Listrak's Privacy API: /v1/Forget
//	/listrak-sms                Listrak's SMS API: /v1/ShortCode/…
//	/listrak-auth/OAuth2/Token  Listrak's token endpoint
//	/control/…                  the control API; see Control
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/concordsync/concord/internal/sandbox/list"
	"github.com/concordsync/concord/internal/sandbox/shop"
)

// Options of Start. The zero value is good.
type Options struct {
	// Address is where to listen, as "127.0.0.1:8090"; empty means any free port of 127.0.0.1. Only loopback addresses are
	// taken: whoever reaches the sandbox can act as anybody in it.
	Address string
	// Now is the real time for all stores and lists that bring no clock of their own; nil means time.Now.
	Now func() time.Time
	// Log gets what the HTTP server has to complain about; nil means slog.Default(). Nothing about people is ever logged.
	Log *slog.Logger
}

// What the sandbox does not have, or has already.
var (
	ErrNoShop = errors.New("the sandbox has no such shop")
	ErrNoList = errors.New("the sandbox has no such list")
	ErrExists = errors.New("the sandbox has it already")
	// ErrNoSenderCode is about Listrak's SMS API; a phone list that does not exist is list.ErrNoPhoneList.
	ErrNoSenderCode = errors.New("the sandbox has no such sender code")
)

// Sandbox is a running sandbox. All methods are safe for concurrent use.
type Sandbox struct {
	now     func() time.Time
	base    string
	listrak *list.Server
	server  *http.Server
	stop    context.CancelFunc
	served  chan struct{}

	mu    sync.RWMutex
	shops map[string]*shopfront
	// forgotten is how many entries of a list's or shop's write log came before the last Reset.
	forgotten map[string]int

	// serving is held for reading by every request, so that Close can wait for the last one.
	serving sync.RWMutex
	closed  bool
}

// shopfront is a store with what serves it. The configuration is kept because a Store does not tell it.
type shopfront struct {
	config   shop.Config
	store    *shop.Store
	http     http.Handler
	webhooks *shop.Webhooks
}

// Start listens and serves until Close. It fails when the address is taken, malformed or not a loopback address.
func Start(options Options) (*Sandbox, error) {
	address := options.Address
	if address == "" {
		address = "127.0.0.1:0"
	}
	if err := loopbackOnly(address); err != nil {
		return nil, fmt.Errorf("start sandbox: %w", err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("start sandbox: listen on %s: %w", address, err)
	}
	now := options.Now
	if now == nil {
		now = time.Now
	}
	log := options.Log
	if log == nil {
		log = slog.Default()
	}
	ctx, stop := context.WithCancel(context.Background())
	sb := &Sandbox{now: now, base: "http://" + listener.Addr().String(), listrak: list.NewServer(now), stop: stop,
		served: make(chan struct{}), shops: map[string]*shopfront{}, forgotten: map[string]int{}}
	sb.server = &http.Server{
		Handler:           sb.routes(),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelError),
	}
	go func() {
		defer close(sb.served)
		if err := sb.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the sandbox stopped serving", "error", err)
		}
	}()
	return sb, nil
}

func loopbackOnly(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w; give it as 127.0.0.1:8090", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("address %q is not a loopback address; take 127.0.0.1 or ::1, since whoever reaches the sandbox can act "+
			"as anybody in it", address)
	}
	return nil
}

// closeGrace is how long Close lets answers that are on their way arrive before it breaks their connections.
const closeGrace = time.Second

// Close stops serving and sending webhooks. Answers that a fault holds back end at once, others are waited for; when Close returns, no
// handler runs, no webhook is on its way, and nothing listens any more. It may be called more than once.
func (sb *Sandbox) Close() {
	sb.stop()
	for _, front := range sb.fronts() {
		front.webhooks.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	if sb.server.Shutdown(ctx) != nil {
		// The connections that outlast the grace are broken; there is nobody left to tell.
		_ = sb.server.Close()
	}
	<-sb.served
	sb.serving.Lock()
	defer sb.serving.Unlock()
	sb.closed = true
}

// domainShape is a host name: what follows /shopify/ in an address must be one segment.
var domainShape = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)

// AddShop puts an empty store into the sandbox. It panics when the domain is taken or no host name, since only a mistake in the
// calling program can bring that about; the control API refuses it instead.
func (sb *Sandbox) AddShop(config shop.Config) *shop.Store {
	store, err := sb.addShop(config)
	if err != nil {
		panic(err)
	}
	return store
}

func (sb *Sandbox) addShop(config shop.Config) (*shop.Store, error) {
	if !domainShape.MatchString(config.Domain) {
		return nil, errors.New("add shop: give a domain in lower case, as example.myshopify.com")
	}
	if config.Now == nil {
		config.Now = sb.now
	}
	sb.mu.Lock()
	defer sb.mu.Unlock()
	if sb.shops[config.Domain] != nil {
		return nil, fmt.Errorf("add shop %s: %w", config.Domain, ErrExists)
	}
	store := shop.New(config)
	sb.shops[config.Domain] = &shopfront{config: config, store: store, http: shop.NewServer(store), webhooks: shop.StartWebhooks(store)}
	return store, nil
}

// AddList puts an empty list into the sandbox. It panics when the configuration is not valid or the id taken, since only a mistake
// in the calling program can bring that about; the control API refuses it instead.
func (sb *Sandbox) AddList(config list.Config) *list.Store {
	store, err := sb.addList(config)
	if err != nil {
		panic(err)
	}
	return store
}

func (sb *Sandbox) addList(config list.Config) (*list.Store, error) {
	if config.Now == nil {
		config.Now = sb.now
	}
	store, err := list.New(config)
	if err != nil {
		return nil, err
	}
	if sb.listrak.Add(store) != nil {
		return nil, fmt.Errorf("add list %d: %w", config.ID, ErrExists)
	}
	return store, nil
}

// AddPrivacy puts a Privacy integration of a Listrak account into the sandbox. It panics when the configuration is not valid or the client
// id taken, since only a mistake in the calling program can bring that about.
func (sb *Sandbox) AddPrivacy(config list.PrivacyConfig) *list.Privacy {
	if config.Now == nil {
		config.Now = sb.now
	}
	privacy, err := sb.listrak.AddPrivacy(config)
	if err != nil {
		panic(err)
	}
	return privacy
}

// Shop returns the store of a domain, or ErrNoShop.
func (sb *Sandbox) Shop(domain string) (*shop.Store, error) {
	front, err := sb.front(domain)
	if err != nil {
		return nil, err
	}
	return front.store, nil
}

func (sb *Sandbox) front(domain string) (*shopfront, error) {
	sb.mu.RLock()
	defer sb.mu.RUnlock()
	front := sb.shops[domain]
	if front == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoShop, domain)
	}
	return front, nil
}

func (sb *Sandbox) fronts() []*shopfront {
	sb.mu.RLock()
	defer sb.mu.RUnlock()
	fronts := make([]*shopfront, 0, len(sb.shops))
	for _, front := range sb.shops {
		fronts = append(fronts, front)
	}
	slices.SortFunc(fronts, func(a, b *shopfront) int { return strings.Compare(a.config.Domain, b.config.Domain) })
	return fronts
}

// List returns the list of an id, or ErrNoList.
func (sb *Sandbox) List(id int) (*list.Store, error) {
	store := sb.listrak.List(id)
	if store == nil {
		return nil, fmt.Errorf("%w: %d", ErrNoList, id)
	}
	return store, nil
}

// ShopifyURL is the base address of a store, to which the Admin API's paths are added.
func (sb *Sandbox) ShopifyURL(domain string) string {
	return sb.base + "/shopify/" + url.PathEscape(domain)
}

// ListrakURL is the base address of Listrak's Email API, to which /v1/List and so on are added.
func (sb *Sandbox) ListrakURL() string { return sb.base + "/listrak" }

// ListrakPrivacyURL is the base address of Listrak's Privacy API, to which /v1/Forget is added.
func (sb *Sandbox) ListrakPrivacyURL() string { return sb.base + "/listrak-privacy" }

// ListrakAuthURL is the address of Listrak's token endpoint itself.
func (sb *Sandbox) ListrakAuthURL() string { return sb.base + "/listrak-auth/OAuth2/Token" }

// ControlURL is the base address of the control API, as NewControl takes it.
func (sb *Sandbox) ControlURL() string { return sb.base + "/control" }

// ExpireListrakTokens makes every token that Listrak gave out invalid.
func (sb *Sandbox) ExpireListrakTokens() { sb.listrak.ExpireTokens() }

// Reset deletes everybody on both sides, ends all faults and begins new write logs for the control API. No webhook tells of it. Settings,
// subscriptions and tokens stay, and so do orders, which outlive their customers at Shopify too.
func (sb *Sandbox) Reset() {
	for _, front := range sb.fronts() {
		front.store.Faults.Set(0)
		front.store.WebhookFaults.Set(0)
		front.store.Empty()
		front.store.FinishIndexing()
		sb.forget("shop "+front.config.Domain, len(front.store.Writes()))
	}
	for _, store := range sb.listrak.Lists() {
		store.Faults.Set(0)
		store.Reset()
	}
	for _, code := range sb.listrak.SenderCodes() {
		code.Faults.Set(0)
		code.Reset()
	}
}

func (sb *Sandbox) forget(log string, entries int) {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	sb.forgotten[log] = entries
}

func (sb *Sandbox) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/shopify/{domain}/", http.HandlerFunc(sb.serveShop))
	mux.Handle("/listrak/", http.StripPrefix("/listrak", sb.listrak.API()))
	mux.Handle("/listrak-privacy/", http.StripPrefix("/listrak-privacy", sb.listrak.PrivacyAPI()))
	mux.Handle("/listrak-sms/", http.StripPrefix("/listrak-sms", sb.listrak.SMSAPI()))
	mux.Handle("/listrak-auth/", http.StripPrefix("/listrak-auth", sb.listrak.Auth()))
	// A web page that the developer happens to look at must not act in the sandbox.
	sameOrigin := http.NewCrossOriginProtection()
	control := sameOrigin.Handler(sb.control())
	mux.Handle("/control", control)
	mux.Handle("/control/", control)
	mux.HandleFunc("GET /{$}", sb.serveIndex)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sb.serving.RLock()
		defer sb.serving.RUnlock()
		if sb.closed {
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, r)
	})
}

func (sb *Sandbox) serveShop(w http.ResponseWriter, r *http.Request) {
	front, err := sb.front(r.PathValue("domain"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	http.StripPrefix("/shopify/"+front.config.Domain, front.http).ServeHTTP(w, r)
}

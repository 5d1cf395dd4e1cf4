package shopify

import (
	"context"
	"slices"
	"strings"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/shopify/admin"
)

// Access is what the store says about itself and about our app there.
type Access struct {
	// Shop is the store's name in the API, Name the one its owner gave it, Plan what it pays for.
	Shop, Name, Plan string
	// Development: a store for trying things out.
	Development bool
	// Scopes are those granted, sorted.
	Scopes []string
	// APIVersion is the version that answered; it differs from APIVersion, the constant, when Shopify has stopped serving that one.
	APIVersion string
}

// Finding is one thing that was checked, in plain words.
type Finding struct {
	OK bool
	// What was found; Advice is what to do about it, empty when OK.
	What, Advice string
}

// Access reads the store's name and plan and the scopes granted to the app.
func (c *Client) Access(ctx context.Context) (Access, error) {
	answer, err := admin.Access(ctx, single{c, opAccess, nil})
	if err != nil {
		return Access{}, err
	}
	access := Access{Shop: answer.Shop.MyshopifyDomain, Name: answer.Shop.Name, Plan: answer.Shop.Plan.PublicDisplayName,
		Development: answer.Shop.Plan.PartnerDevelopment, APIVersion: c.servedVersion()}
	for _, scope := range answer.CurrentAppInstallation.AccessScopes {
		access.Scopes = append(access.Scopes, scope.Handle)
	}
	slices.Sort(access.Scopes)
	return access, nil
}

func (c *Client) servedVersion() string {
	if version := c.served.Load(); version != nil {
		return *version
	}
	return ""
}

// neededScopes are what the syncs of both channels need, and for what: SMS consents need no other than those to email
// (contracts/shopify.md 1).
var neededScopes = []struct{ scope, purpose string }{
	{"read_customers", "read customers and their consent"},
	{"write_customers", "write consent and create customers"},
	{"read_orders", "tell a consent in the checkout from others"},
}

// VerifyAccess finds out by harmless reads whether everything that the syncs need is granted: the credentials, each scope, and the
// approval to read protected customer data. It changes nothing in the store. Findings come in the order in which to mend them.
func (c *Client) VerifyAccess(ctx context.Context) []Finding {
	access, err := c.Access(ctx)
	if err != nil {
		return []Finding{findingOf("The store cannot be reached with these credentials", err)}
	}
	findings := []Finding{{OK: true, What: "The store " + access.Shop + " accepts the credentials."}}
	for _, needed := range neededScopes {
		granted := slices.Contains(access.Scopes, needed.scope) ||
			slices.Contains(access.Scopes, strings.Replace(needed.scope, "read_", "write_", 1))
		if granted {
			findings = append(findings, Finding{OK: true, What: "The scope " + needed.scope + " is granted."})
			continue
		}
		findings = append(findings, Finding{What: "The scope " + needed.scope + " is missing, which is needed to " + needed.purpose + ".",
			Advice: "Grant the app the scope " + needed.scope + " and release a new version of it."})
	}
	customers, err := admin.ProbeCustomers(ctx, single{c, opProbeCustomers, nil})
	findings = append(findings, probeFinding("Customers", err, err == nil && len(customers.Customers.Nodes) > 0))
	orders, err := admin.ProbeOrders(ctx, single{c, opProbeOrders, nil})
	findings = append(findings, probeFinding("Orders", err, err == nil && len(orders.Orders.Nodes) > 0))
	switch version := c.servedVersion(); version {
	case APIVersion, "":
		// A server that does not name its version is no reason for alarm: only Shopify's own must, and it does.
	default:
		findings = append(findings, Finding{
			What:   "Shopify answers with another version of its API than " + APIVersion + ", which Concord is written for.",
			Advice: adviceUpdate})
	}
	return findings
}

// VerifyEventAccess finds out whether the scopes that events need are granted. It changes nothing in the store.
func (c *Client) VerifyEventAccess(ctx context.Context) []Finding {
	access, err := c.Access(ctx)
	if err != nil {
		return []Finding{findingOf("The scopes for events cannot be read", err)}
	}
	var findings []Finding
	for _, scope := range []string{"read_marketing_events", "write_marketing_events"} {
		if slices.Contains(access.Scopes, scope) || scope == "read_marketing_events" && slices.Contains(access.Scopes, "write_marketing_events") {
			findings = append(findings, Finding{OK: true, What: "The scope " + scope + " is granted."})
			continue
		}
		findings = append(findings, Finding{What: "The scope " + scope + " is missing, which is needed to tell the store of email and SMS events.",
			Advice: "Grant the app the scopes read_marketing_events and write_marketing_events and release a new version of it, or switch the syncs " +
				"of events off."})
	}
	return findings
}

// probeFinding tells whether things can be read. Shopify judges fields one by one as it reads them, so a store that has none of them
// proves nothing about the approval to read addresses.
func probeFinding(things string, err error, some bool) Finding {
	switch {
	case err != nil:
		return findingOf(things+" cannot be read", err)
	case some:
		return Finding{OK: true, What: things + " and their addresses can be read."}
	default:
		return Finding{OK: true, What: things + " can be read. There are none yet, so the approval to read their addresses is not proven."}
	}
}

func findingOf(what string, err error) Finding {
	finding := Finding{What: what + ": " + err.Error(), Advice: "Try again later."}
	if f := failure.As(err); f != nil {
		finding.What = what + " (" + f.Code + ")."
		if f.Advice != "" {
			finding.Advice = f.Advice
		}
	}
	return finding
}

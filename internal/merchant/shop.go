package merchant

import (
	"net/url"
	"regexp"
	"strings"
)

const (
	shopSuffix = ".myshopify.com"
	adminHost  = "admin.shopify.com"
)

// handle is what stands before .myshopify.com, as Shopify itself checks it
// (https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/authorization-code-grant), bounded by the
// length of a DNS label.
var handle = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

var errShop = &Invalid{"--shop", "must be a *.myshopify.com domain, such as acme.myshopify.com (Shopify admin → Settings → Domains shows it)"}

// ParseShop reads the domain of a shop as people paste it: with or without https://, in any case, with a path behind it, or the
// address of its admin (https://admin.shopify.com/store/acme). It returns the bare domain in lower case. A shop's own domain
// (www.acme.com) is refused: Shopify's API only answers on *.myshopify.com. The error is an *Invalid about --shop.
func ParseShop(text string) (string, error) {
	text = strings.TrimSpace(text)
	if len(text) > 2048 || !printable(text) {
		return "", errShop
	}
	if scheme, _, found := strings.Cut(text, "://"); !found {
		text = "https://" + text
	} else if !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http") {
		return "", errShop
	}
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Port() != "" || u.Opaque != "" {
		return "", errShop
	}
	host := strings.TrimSuffix(strings.Map(lowerASCII, u.Host), ".")
	name, isShop := strings.CutSuffix(host, shopSuffix)
	if host == adminHost {
		segments := strings.Split(strings.Trim(u.Path, "/"), "/")
		if len(segments) < 2 || !strings.EqualFold(segments[0], "store") {
			return "", errShop
		}
		name, isShop = strings.Map(lowerASCII, segments[1]), true
	}
	if !isShop || !handle.MatchString(name) {
		return "", errShop
	}
	return name + shopSuffix, nil
}

// ParseID reads the name of a merchant as people type it: its id (acme) or anything that ParseShop understands. The error is an
// *Invalid.
func ParseID(text string) (string, error) {
	text = strings.TrimSpace(text)
	if lower := strings.Map(lowerASCII, text); handle.MatchString(lower) {
		return lower, nil
	}
	shop, err := ParseShop(text)
	if err != nil {
		return "", &Invalid{"the merchant", "must be named by its id, such as acme, or by its shop, such as acme.myshopify.com"}
	}
	return strings.TrimSuffix(shop, shopSuffix), nil
}

// lowerASCII leaves other letters alone: some lower to ASCII ones (the Kelvin sign to k), and would make another shop of what was
// typed.
func lowerASCII(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

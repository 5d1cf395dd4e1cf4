package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/host"
	"github.com/concordsync/concord/internal/merchant"
)

// channelsOf lists the channels of which there is something to show for a merchant: email, and SMS where it is set up, or was and people
// are known of it.
func channelsOf(ctx context.Context, h *host.Host, m merchant.Merchant) ([]consent.Channel, error) {
	channels := []consent.Channel{consent.Email}
	known := int64(1)
	if !m.Settings.SMS.Enabled() {
		var err error
		if known, err = h.Ledger.CountSubjects(ctx, m.Settings.ID, consent.SMS); err != nil {
			return nil, err
		}
	}
	if known > 0 {
		channels = append(channels, consent.SMS)
	}
	return channels, nil
}

// identity is how a person is named on the command line: an address of a channel, normalised.
type identity struct {
	channel consent.Channel
	address string
}

// subject is the hash under which the person is kept for a merchant.
func (i identity) subject(h *host.Host, id string) consent.Subject {
	return consent.SubjectOf(h.Keys.SubjectKey(), id, i.channel, i.address)
}

// given reads the address of a person that stands in an argument or, for -, on standard input.
func (a *app) given(ctx context.Context, argument string) (string, error) {
	if argument == "-" {
		line, err := a.readLine(ctx)
		if err != nil {
			return "", fmt.Errorf("read the address: %w", err)
		}
		if line == "" {
			return "", usageError("%w: standard input is empty", consent.ErrMalformedAddress)
		}
		return line, nil
	}
	if argument == "" {
		return "", usageError("%w: it is empty", consent.ErrMalformedAddress)
	}
	return argument, nil
}

// personOf reads who is meant, and finds the merchant that is named, or the only one there is.
func (a *app) personOf(ctx context.Context, argument, merchantName string) (*host.Host, merchant.Merchant, identity, error) {
	text, err := a.given(ctx, argument)
	if err != nil {
		return nil, merchant.Merchant{}, identity{}, err
	}
	h, m, err := a.merchantOf(ctx, named(merchantName))
	if err != nil {
		return nil, merchant.Merchant{}, identity{}, err
	}
	who, err := identify(text, m.Settings)
	return h, m, who, err
}

// identify tells an email address from a phone number: one has an @. A number without a country code is of the merchant's country.
func identify(given string, settings merchant.Settings) (identity, error) {
	if strings.Contains(given, "@") || !strings.ContainsAny(given, "0123456789") {
		address, err := consent.NormaliseEmail(given)
		return identity{consent.Email, address}, err
	}
	phone, err := consent.NormalisePhone(given, settings.SMS.Country)
	return identity{consent.SMS, phone}, err
}

// withChannel puts the channel of each row, the first of which is the head, behind its first column, where a merchant has both.
func withChannel(rows [][]string, both bool, of func(int) string) [][]string {
	if !both {
		return rows
	}
	wider := make([][]string, len(rows))
	for i, row := range rows {
		channel := "CHANNEL"
		if i > 0 {
			channel = of(i - 1)
		}
		wider[i] = slices.Insert(slices.Clone(row), 1, channel)
	}
	return wider
}

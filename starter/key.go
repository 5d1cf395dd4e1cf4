package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/keys"
)

func newKeyCommand(a *app) *cobra.Command {
	return group("key", "Make and rotate the master key",
		`The master key seals credentials and, while a delivery needs them, addresses. It is set by CONCORD_MASTER_KEY or
CONCORD_MASTER_KEY_FILE; with a SQLite ledger it is made beside the database. Whoever loses it loses every known opt-out.`,
		newKeyGenerateCommand(a), newKeyRotateCommand(a))
}

// keyView holds a key for the operator who asked for it.
type keyView struct {
	Key          string   `json:"key"`
	Fingerprint  string   `json:"fingerprint"`
	Fingerprints []string `json:"fingerprints"`
}

// text writes the key alone, so that it can be sent into a file or a secret store.
func (v *keyView) text(p *page) { p.line("%s", v.Key) }

func viewOfKey(k keys.Keyset) (*keyView, error) {
	text, err := k.Export()
	if err != nil {
		return nil, err
	}
	return &keyView{Key: text, Fingerprint: k.Fingerprint(), Fingerprints: k.Fingerprints()}, nil
}

func newKeyGenerateCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "generate", Short: "Print a new master key", Args: arguments(0, 0),
		Long:    "Prints a new master key on one line, for CONCORD_MASTER_KEY or a file. It is stored nowhere: keep a copy in a safe place.",
		Example: "  (umask 077 && starter key generate > master.key)",
		RunE: func(*cobra.Command, []string) error {
			k, err := keys.Generate()
			if err != nil {
				return err
			}
			v, err := viewOfKey(k)
			if err != nil {
				return err
			}
			a.note("Master key %s. Keep a copy in a safe place, apart from the database.", v.Fingerprint)
			return a.show(v)
		},
	}
}

func newKeyRotateCommand(a *app) *cobra.Command {
	var reseal, retire bool
	c := &cobra.Command{
		Use: "rotate", Short: "Add a new primary key, and seal everything with it", Args: arguments(0, 0),
		Long: `Rotating takes three steps, and no process has to stop:
  1. starter key rotate            prints the present keyset with a new primary key added. Give it to every process (write it into the
                                   key file where there is one, with mode 600) and restart them.
  2. starter key rotate --reseal   seals the credentials of all merchants with the new primary key.
  3. starter key rotate --retire   prints the keyset without its older keys, for when no sealed address is older either:
                                   when nothing is owed, stopped, held, refused or disputed since step 1 ("starter status").
The present keyset is read from CONCORD_MASTER_KEY, CONCORD_MASTER_KEY_FILE, the ledger's key file, or with --stdin from
standard input.`,
	}
	var fromStdin bool
	c.Flags().BoolVar(&reseal, "reseal", false, "seal all credentials with the primary key")
	c.Flags().BoolVar(&retire, "retire", false, "print the keyset without its older keys")
	c.Flags().BoolVar(&fromStdin, "stdin", false, "read the present keyset from standard input")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case reseal && retire:
			return usageError("--reseal and --retire are two steps: give one of them").try("`starter key rotate --help` tells the order")
		case reseal && fromStdin:
			return usageError("--stdin does not go with --reseal, which seals with the key that the ledger is opened with").
				try("set %s or %s", keys.EnvMasterKey, keys.EnvMasterKeyFile)
		case reseal:
			return a.reseal(cmd.Context())
		}
		k, err := a.presentKey(fromStdin)
		if err != nil {
			return err
		}
		next := keys.Rotate
		if retire {
			next = keys.Retire
		}
		if k, err = next(k); err != nil {
			return err
		}
		v, err := viewOfKey(k)
		if err != nil {
			return err
		}
		a.note("Keyset with primary key %s and %s. It is stored nowhere yet.", v.Fingerprint,
			count(int64(len(v.Fingerprints)-1), "older key", "older keys"))
		return a.show(v)
	}
	return c
}

// presentKey reads the keyset in use.
func (a *app) presentKey(fromStdin bool) (keys.Keyset, error) {
	if fromStdin {
		text, err := io.ReadAll(io.LimitReader(a.in, 1<<20))
		if err != nil {
			return keys.Keyset{}, fmt.Errorf("read the master key: %w", err)
		}
		return keys.Parse(string(text))
	}
	settings, err := a.settings()
	if err != nil {
		return keys.Keyset{}, err
	}
	source := keys.Source{Key: settings.MasterKey.Reveal(), KeyFile: settings.MasterKeyFile}
	if database, ok := strings.CutPrefix(settings.Ledger.Reveal(), sqliteScheme); ok {
		source.Database = database
	}
	return source.Load()
}

func (a *app) reseal(ctx context.Context) error {
	h, err := a.host(ctx)
	if err != nil {
		return err
	}
	n, err := h.Merchants.Reseal(ctx)
	if err != nil {
		return err
	}
	return a.show(&resealedView{Resealed: n, Primary: h.Keys.MasterFingerprint()})
}

type resealedView struct {
	Resealed int    `json:"resealed"`
	Primary  string `json:"primary"`
}

func (v *resealedView) text(p *page) {
	p.line("The credentials of %s were sealed anew with master key %s.", count(int64(v.Resealed), "merchant", "merchants"), v.Primary)
}

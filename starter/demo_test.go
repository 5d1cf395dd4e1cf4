package main

import (
	"bytes"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/histories"
	"github.com/concordsync/concord/internal/telemetry"
)

// The main job, and nothing of it holds an address: neither what Temporal keeps, nor the log, nor what the demo prints.
func TestTheDemoAgreesAndHoldsNoAddress(t *testing.T) {
	t.Parallel()
	var logged, told bytes.Buffer
	logger := telemetry.NewLogger(&logged, slog.LevelDebug, "text")
	s, err := startStack(t.Context(), stackOptions{Settings: demoSettings(t.TempDir()), Log: logger, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	a := newApp()
	a.out, a.errOut = &told, &told
	v, err := (&demo{app: a, stack: s, people: demoPeople()}).run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.show(v); err != nil {
		t.Fatal(err)
	}
	if !v.Agreed {
		t.Errorf("not everybody is as the rules demand:\n%s", told.String())
	}
	for _, line := range v.People {
		if took := time.Duration(line.TookMilliseconds) * time.Millisecond; took <= 0 {
			t.Errorf("%s took %s", line.Name, took)
		}
	}
	places, err := histories.Of(t.Context(), s.Client, sandboxMerchant)
	if err != nil {
		t.Fatal(err)
	}
	if len(places) < 50 {
		t.Errorf("only %d texts were read of Temporal: the search shows nothing", len(places))
	}
	places = append(places, histories.Place{Name: "the log", Text: logged.String()}, histories.Place{Name: "what the demo says", Text: told.String()})
	secrets := []string{"example.com"}
	for _, p := range demoPeople() {
		if p.number != 0 {
			secrets = append(secrets, histories.Spellings(p.phone())...)
		}
	}
	for _, place := range places {
		if excerpt, ok := place.Holding(secrets...); ok {
			t.Errorf("%s holds an address: %s", place.Name, excerpt)
		}
	}
}

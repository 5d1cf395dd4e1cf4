package activities

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/telemetry"
)

// moreDelay lets an activity be retried at once: a delay of zero would mean the retry policy's (reference/temporal.md 2.1).
const moreDelay = time.Millisecond

// idle asks for a retry after a delay. Benign errors stay out of error logs and failure metrics.
func idle(delay time.Duration, text string) error {
	return temporal.NewApplicationErrorWithOptions(text, IdleType, temporal.ApplicationErrorOptions{
		NextRetryDelay: max(delay, moreDelay), Category: temporal.ApplicationErrorCategoryBenign,
	})
}

// classified turns an error of the ledger or of a side into what Temporal does with it. Of several errors the retryable one wins:
// giving up because of another could lose a decision, while what only a person can mend fails again, alone, in the next try.
func classified(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errWorkerStops):
		return idle(moreDelay, err.Error())
	case errors.Is(err, ledger.ErrUnknownMerchant):
		return temporal.NewNonRetryableApplicationError(errorText(err), UnknownMerchantType, nil)
	}
	class, wait := worst(err)
	if class == failure.Retry {
		return temporal.NewApplicationErrorWithOptions(errorText(err), RoundFailedType, temporal.ApplicationErrorOptions{NextRetryDelay: wait})
	}
	return temporal.NewNonRetryableApplicationError(errorText(err), class.String(), nil)
}

// worst is the class of an error that may join several, and the longest wait that one of them asks for.
func worst(err error) (failure.Class, time.Duration) {
	var class failure.Class
	var wait time.Duration
	for _, cause := range failure.Causes(err) {
		f := failure.As(cause)
		switch {
		case f == nil:
			// What no adapter classified counts as Retry, as failure.ClassOf says.
			class = failure.Retry
		case f.Class == failure.Retry:
			class, wait = failure.Retry, max(wait, f.Wait)
		case class != failure.Retry:
			// PersonMustAct stands over Refused: it concerns the whole merchant.
			class = max(class, f.Class)
		}
	}
	return class, wait
}

// maxErrorText keeps an error below the 4 KiB at which Temporal cuts it in its own way (reference/temporal.md 1).
const maxErrorText = 2000

// errorText is an error as histories and the Web UI may show it. The adapters keep personal data out of their errors; redacting
// once more costs nothing and stands between a mistake of theirs and a history that nobody can erase.
func errorText(err error) string {
	text := strings.ToValidUTF8(telemetry.Redact(err.Error()), "?")
	if len(text) <= maxErrorText {
		return text
	}
	cut := maxErrorText
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

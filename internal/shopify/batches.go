package shopify

import (
	"context"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/shopify/admin"
)

// sendBatch sends one aliased request. answers[i] and failures[i] belong to item i; failures[i] is nil where the answer stands. The
// error is that of the whole request.
func sendBatch[R any](ctx context.Context, c *Client, op operation, batch admin.Batch[R]) (answers []R, failures ItemErrors, err error) {
	r, err := c.call(ctx, op, batch.Request, batch.Size())
	if err != nil {
		return nil, nil, err
	}
	failures = make(ItemErrors, batch.Size())
	unread := false
	for _, one := range r.errors {
		name, ofVariable := one.variable()
		if !ofVariable {
			name, _ = one.root()
		}
		item, known := batch.ItemOf(name)
		if !known {
			return nil, nil, one.classify(op, r.wait)
		}
		unread = unread || ofVariable
		if failures[item] == nil {
			failures[item] = one.classify(op, r.wait)
		}
	}
	if unread {
		// Shopify reads all variables before it does anything: the other items were not touched.
		for item := range failures {
			if failures[item] == nil {
				failures[item] = &failure.Error{Class: failure.Retry, Op: op.verb, Code: CodeNotSent}
			}
		}
		return make([]R, batch.Size()), failures, nil
	}
	answers, there, err := batch.Answers(r.data)
	if err != nil {
		return nil, nil, &failure.Error{Class: failure.Retry, Op: op.verb, Code: CodeBadAnswer, MaybeDone: op.write}
	}
	for item := range failures {
		if failures[item] == nil && !there[item] {
			failures[item] = &failure.Error{Class: failure.Retry, Op: op.verb, Code: CodeBadAnswer, MaybeDone: op.write}
		}
	}
	return answers, failures, nil
}

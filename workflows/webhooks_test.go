package workflows

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/activities"
)

func TestALookAtWebhooksIsTriedAgainWithinTheHour(t *testing.T) {
	t.Parallel()
	tries := 0
	f := &fakes{webhooks: func(_ context.Context, in activities.MerchantInput) (activities.WebhooksResult, error) {
		if in.Merchant != merchant {
			t.Errorf("looked at %q", in.Merchant)
		}
		if tries++; tries < 10 {
			return activities.WebhooksResult{}, errors.New("Shopify is not there")
		}
		return activities.WebhooksResult{Mode: "api", Registered: 9, Created: 2}, nil
	}}
	s := newStageWith(t, f)
	began := s.Now()
	s.ExecuteWorkflow(webhooksWorkflow, WebhooksInput{Merchant: merchant})
	if err := s.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	var result activities.WebhooksResult
	if err := s.GetWorkflowResult(&result); err != nil || result.Registered != 9 || result.Created != 2 {
		t.Errorf("ended with %+v, %v", result, err)
	}
	if took := s.Now().Sub(began); took > 5*time.Hour {
		t.Errorf("ten tries took %s", took)
	}
}

func TestALookThatOnlyAPersonCanMendFails(t *testing.T) {
	t.Parallel()
	tries := 0
	f := &fakes{webhooks: func(context.Context, activities.MerchantInput) (activities.WebhooksResult, error) {
		tries++
		return activities.WebhooksResult{}, temporal.NewNonRetryableApplicationError("401", "a person must act", nil)
	}}
	s := newStageWith(t, f)
	s.ExecuteWorkflow(webhooksWorkflow, WebhooksInput{Merchant: merchant})
	if err := s.GetWorkflowError(); err == nil || tries != 1 {
		t.Errorf("ended with %v after %d tries", err, tries)
	}
}

// Package workflows says when things happen. It is deterministic and does no I/O: what is done lies in the activities, what is
// decided in internal/consent, and what is known in the ledger. Histories carry ids, counts and settings, never people.
package workflows

import (
	"context"
	"fmt"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/concordsync/concord/internal/consent"
)

// Names on which recorded histories and callers outside depend: never change one.
const (
	setSyncsName     = "set-syncs"
	pauseName        = "pause"
	resumeName       = "resume"
	nudgeName        = "nudge"
	statusName       = "status"
	orderName        = "order"
	holdChangedName  = "hold-changed"
	goOnName         = "go-on"
	merchantWorkflow = "MerchantSync"
	windowWorkflow   = "CheckoutWindow"
	backfillWorkflow = "Backfill"
	privacyWorkflow  = "PrivacyRequest"
)

// The search attributes, which an operator registers before the first start (the embedded server and docker-compose.yml do).
var (
	MerchantIDAttribute    = temporal.NewSearchAttributeKeyKeyword("MerchantId")
	SyncTypesAttribute     = temporal.NewSearchAttributeKeyKeywordList("SyncTypes")
	MerchantStateAttribute = temporal.NewSearchAttributeKeyKeyword("MerchantState")
)

// SyncDelta names the syncs to switch and their new position, as in {"email_to_listrak":true}; what it does not name stays.
type SyncDelta map[consent.Sync]bool

// Validate refuses an empty delta and unknown names.
func (d SyncDelta) Validate() error {
	if len(d) == 0 {
		return fmt.Errorf("nothing to switch: name at least one of %s", consent.SyncNames())
	}
	for _, sync := range workflow.DeterministicKeys(d) {
		if _, err := consent.ParseSync(string(sync)); err != nil {
			return err
		}
	}
	return nil
}

// MerchantStatus answers the status query and the updates.
type MerchantStatus struct {
	Merchant string `json:"merchant"`
	// State is running, paused, broken or removed; Reason says why it is not running.
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	// Generation rises with every change of the switches.
	Generation int64 `json:"generation"`
	// On lists the syncs that are switched on.
	On []consent.Sync `json:"on"`
	// WindowsOpened counts the checkout windows opened since the workflow first began.
	WindowsOpened int `json:"windowsOpened"`
	// NextRound is the earliest start of the next round; the ledger knows the last one.
	NextRound time.Time `json:"nextRound,omitzero"`
	// Runs counts how often the workflow has continued as new.
	Runs int `json:"runs"`
}

// MerchantSyncID is the id of a merchant's workflow.
func MerchantSyncID(merchant string) string { return "merchant/" + merchant }

// BackfillID is the id of a merchant's full read of a channel on both sides.
func BackfillID(merchant string, channel consent.Channel) string {
	id := "merchant/" + merchant + "/backfill"
	if channel == consent.SMS {
		id += "/sms"
	}
	return id
}

// StartMerchantSync makes sure that the merchant's workflow runs. Starting it twice is harmless.
func StartMerchantSync(ctx context.Context, c client.Client, taskQueue, merchant string) error {
	options := client.StartWorkflowOptions{
		ID:                       MerchantSyncID(merchant),
		TaskQueue:                taskQueue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes:    temporal.NewSearchAttributes(MerchantIDAttribute.ValueSet(merchant)),
		StaticSummary:            "Keeps consent of " + merchant + " in agreement",
	}
	if _, err := c.ExecuteWorkflow(ctx, options, merchantWorkflow, MerchantSyncInput{Merchant: merchant}); err != nil {
		return fmt.Errorf("start the workflow of merchant %s: %w", merchant, err)
	}
	return nil
}

// StartBackfill makes sure that a full read of a channel on both sides runs, and returns a handle to wait for its end.
func StartBackfill(ctx context.Context, c client.Client, taskQueue, merchant string, channel consent.Channel) (client.WorkflowRun, error) {
	options := client.StartWorkflowOptions{
		ID:                       BackfillID(merchant, channel),
		TaskQueue:                taskQueue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes:    temporal.NewSearchAttributes(MerchantIDAttribute.ValueSet(merchant)),
		StaticSummary:            backfillSummary(merchant, channel),
	}
	run, err := c.ExecuteWorkflow(ctx, options, backfillWorkflow, BackfillInput{Merchant: merchant, SMS: channel == consent.SMS})
	if err != nil {
		return nil, fmt.Errorf("start the full read of merchant %s: %w", merchant, err)
	}
	return run, nil
}

// SetSyncs switches syncs and returns when the new position is in force: after "off" was answered nothing more is written.
func SetSyncs(ctx context.Context, c client.Client, merchant string, delta SyncDelta) (MerchantStatus, error) {
	return update(ctx, c, merchant, setSyncsName, delta)
}

// Pause stops all calls of the merchant; intervals, cursors and debts stay. It returns when no write and no round is under way any
// more; a read of a full read or of a checkout window may still end within seconds.
func Pause(ctx context.Context, c client.Client, merchant string) (MerchantStatus, error) {
	return update(ctx, c, merchant, pauseName)
}

// Resume lets a paused or broken merchant go on.
func Resume(ctx context.Context, c client.Client, merchant string) (MerchantStatus, error) {
	return update(ctx, c, merchant, resumeName)
}

func update(ctx context.Context, c client.Client, merchant, name string, args ...any) (MerchantStatus, error) {
	handle, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: MerchantSyncID(merchant), UpdateName: name, Args: args, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return MerchantStatus{}, fmt.Errorf("%s for merchant %s: %w", name, merchant, err)
	}
	var status MerchantStatus
	if err := handle.Get(ctx, &status); err != nil {
		return MerchantStatus{}, fmt.Errorf("%s for merchant %s: %w", name, merchant, err)
	}
	return status, nil
}

// SignalSetSyncs asks for the switches without waiting; it is honoured even when no worker runs at the moment.
func SignalSetSyncs(ctx context.Context, c client.Client, merchant string, delta SyncDelta) error {
	return signal(ctx, c, MerchantSyncID(merchant), setSyncsName, delta)
}

// SignalPause asks for a pause without waiting. Of a pause and a resume that reach the workflow in the same moment, for example
// because no worker ran meanwhile, the pause is served last; Pause and Resume keep their order.
func SignalPause(ctx context.Context, c client.Client, merchant string) error {
	return signal(ctx, c, MerchantSyncID(merchant), pauseName, nil)
}

// SignalResume asks a paused or broken merchant to go on, without waiting.
func SignalResume(ctx context.Context, c client.Client, merchant string) error {
	return signal(ctx, c, MerchantSyncID(merchant), resumeName, nil)
}

// SignalNudge tells a merchant's workflow that webhooks have left hints in the ledger.
func SignalNudge(ctx context.Context, c client.Client, merchant string) error {
	return signal(ctx, c, MerchantSyncID(merchant), nudgeName, nil)
}

// SignalOrder tells a checkout window of an order of its customer. The window checks the order's time itself.
func SignalOrder(ctx context.Context, c client.Client, window string, order OrderSignal) error {
	return signal(ctx, c, window, orderName, order)
}

// SignalHoldChanged tells a checkout window that the ledger's hold is settled, restarted or gone.
func SignalHoldChanged(ctx context.Context, c client.Client, window string) error {
	return signal(ctx, c, window, holdChangedName, nil)
}

func signal(ctx context.Context, c client.Client, workflowID, name string, arg any) error {
	if err := c.SignalWorkflow(ctx, workflowID, "", name, arg); err != nil {
		return fmt.Errorf("signal %s to %s: %w", name, workflowID, err)
	}
	return nil
}

// Status asks a merchant's workflow how it stands.
func Status(ctx context.Context, c client.Client, merchant string) (MerchantStatus, error) {
	answer, err := c.QueryWorkflow(ctx, MerchantSyncID(merchant), "", statusName)
	if err != nil {
		return MerchantStatus{}, fmt.Errorf("ask the workflow of merchant %s: %w", merchant, err)
	}
	var status MerchantStatus
	if err := answer.Get(&status); err != nil {
		return MerchantStatus{}, fmt.Errorf("read the status of merchant %s: %w", merchant, err)
	}
	return status, nil
}

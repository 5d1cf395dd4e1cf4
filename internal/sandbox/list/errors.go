package list

import (
	"fmt"
	"net/http"
)

// Error is a refusal in Listrak's own words. Message is for people and names no person.
type Error struct {
	Status  int // HTTP status
	Code    string
	Message string
}

// Error renders the code with its message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// The codes of the official document that this sandbox answers.
const (
	CodeInvalidCredentials     = "ERROR_INVALID_CREDENTIALS"
	CodeInvalidParameter       = "ERROR_INVALID_PARAMETER"
	CodeMalformedBody          = "ERROR_MALFORMED_REQUEST_BODY"
	CodeNoResource             = "ERROR_UNABLE_TO_LOCATE_RESOURCE"
	CodeUnauthorized           = "ERROR_UNAUTHORIZED"
	CodeUnhandled              = "ERROR_UNHANDLED_EXCEPTION"
	CodeUnknownRoute           = "ERROR_UNKNOWN_ROUTE"
	CodeUnsafeRoute            = "ERROR_UNSAFE_ROUTE"
	CodeUnsupportedContentType = "ERROR_UNSUPPORTED_CONTENT_TYPE"
	CodeUnsupportedMethod      = "ERROR_UNSUPPORTED_METHOD"

	CodeBanned                  = "ERROR_BANNED_EMAIL_ADDRESS"
	CodeBannedNew               = "ERROR_BANNED_NEW_EMAIL_ADDRESS"
	CodeChangeToUnsubscribed    = "ERROR_CHANGE_ADDRESS_CONTACT_UNSUBSCRIBED"
	CodeChangeWithEvents        = "ERROR_CHANGE_ADDRESS_WITH_EVENTS"
	CodeChangeWithFields        = "ERROR_CHANGE_ADDRESS_WITH_SEGMENTATION_DATA"
	CodeNotSubscribed           = "ERROR_NOT_SUBSCRIBED_EMAIL_ADDRESS"
	CodePending                 = "ERROR_PENDING_EMAIL_ADDRESS"
	CodePendingNew              = "ERROR_PENDING_NEW_EMAIL_ADDRESS"
	CodeSubscribed              = "ERROR_SUBSCRIBED_EMAIL_ADDRESS"
	CodeSubscribedNew           = "ERROR_SUBSCRIBED_NEW_EMAIL_ADDRESS"
	CodeSuppressed              = "ERROR_SUPPRESSED_EMAIL"
	CodeSuppressedNew           = "ERROR_SUPPRESSED_NEW_EMAIL"
	CodeTooManyFields           = "ERROR_TOO_MANY_SEGMENTATION_FIELDS"
	CodeUnsubscribed            = "ERROR_UNSUBSCRIBED_EMAIL_ADDRESS"
	CodeUnsubscribeWithEvents   = "ERROR_UNSUBSCRIBE_WITH_EVENTS"
	CodeUnsubscribeWithFields   = "ERROR_UNSUBSCRIBE_WITH_SEGMENTATION_DATA"
	CodeUpdateUnsubscribedEvent = "ERROR_UPDATE_UNSUBSCRIBE_WITH_EVENTS"

	CodeInvalidListID      = "ERROR_INVALID_LIST_ID"
	CodeInvalidPhone       = "ERROR_INVALID_PHONE_NUMBER"
	CodeListInactive       = "ERROR_LIST_INACTIVE"
	CodePhoneBanned        = "ERROR_BANNED_PHONE_NUMBER"
	CodePhoneFound         = "ERROR_PHONE_NUMBER_FOUND"
	CodePhoneNotFound      = "ERROR_PHONE_NUMBER_NOT_FOUND"
	CodePhoneNotSubscribed = "ERROR_PHONE_NUMBER_NOT_SUBSCRIBED"
	CodePhonePending       = "ERROR_PENDING_PHONE_NUMBER"
	CodePhoneSubscribed    = "ERROR_SUBSCRIBED_PHONE_NUMBER"
	CodePhoneSuspended     = "ERROR_PHONE_NUMBER_SUSPENDED"
	CodeSenderCodeDisabled = "ERROR_SENDER_CODE_DISABLED"

	// CodeTooManyRequests is ours: Listrak publishes no code for 429, so a client must go by the status.
	CodeTooManyRequests = "ERROR_TOO_MANY_REQUESTS"
)

func refuse(code, message string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: code, Message: message}
}

func invalid(parameter string) *Error {
	return refuse(CodeInvalidParameter, fmt.Sprintf("An invalid value was supplied for %s.", parameter))
}

func noResource(identifiers string) *Error {
	return &Error{Status: http.StatusNotFound, Code: CodeNoResource,
		Message: fmt.Sprintf("Unable to locate a resource associated with the %s supplied.", identifiers)}
}

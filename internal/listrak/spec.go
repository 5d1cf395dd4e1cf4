package listrak

import _ "embed"

// EmailSpec is our OpenAPI 3.0 description of the routes of Listrak's Email API that Concord uses. The client in
// internal/listrak/email and the sandbox's server are generated from the same file.
//
//go:embed email.yaml
var EmailSpec []byte

// PrivacySpec is our OpenAPI 3.0 description of Listrak's Privacy API. The client in internal/listrak/privacy and the sandbox's server
// are generated from the same file.
//
//go:embed privacy.yaml
var PrivacySpec []byte

// SMSSpec is our OpenAPI 3.0 description of the routes of Listrak's SMS API that Concord uses. The client in internal/listrak/sms and
// the sandbox's server are generated from the same file.
//
//go:embed sms.yaml
var SMSSpec []byte

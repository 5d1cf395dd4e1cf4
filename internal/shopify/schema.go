package shopify

import _ "embed"

// Schema is the part of the Admin GraphQL schema 2026-10 that this client uses, in SDL. The sandbox serves it, so that client and
// server cannot disagree about a type.
//
//go:embed schema.graphql
var Schema string

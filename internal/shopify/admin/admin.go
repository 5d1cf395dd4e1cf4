// Package admin holds the documents that Concord sends to Shopify's Admin GraphQL API, typed: genqlient makes a Go type of every
// variable and answer, and Batch repeats an operation under aliases. It does no I/O; package shopify sends.
package admin

//go:generate go tool -modfile=../../../tools/go.mod genqlient genqlient.yaml

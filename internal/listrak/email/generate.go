// Package email is the client of Listrak's Email API as oapi-codegen writes it from ../email.yaml. Only package listrak uses
// it, and only to build requests and to name what the answers hold: it reads answers itself, bounded and classified.
package email

//go:generate go tool -modfile=../../../tools/go.mod oapi-codegen -config oapi-codegen.yaml ../email.yaml

// Package sms is the client of Listrak's SMS API as oapi-codegen writes it from ../sms.yaml. Only package listrak uses it, and only
// to build requests and to name what the answers hold: it reads answers itself, bounded and classified.
package sms

//go:generate go tool -modfile=../../../tools/go.mod oapi-codegen -config oapi-codegen.yaml ../sms.yaml

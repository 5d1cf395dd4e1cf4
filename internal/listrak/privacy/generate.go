// Package privacy is the client of Listrak's Privacy API as oapi-codegen writes it from ../privacy.yaml. Only package listrak uses it,
// and only to build requests and to name what the answers hold: it reads answers itself, bounded and classified.
package privacy

//go:generate go tool -modfile=../../../tools/go.mod oapi-codegen -config oapi-codegen.yaml ../privacy.yaml

// Package wire is the generated HTTP server of Listrak's Email API: types, parameters and routes as internal/listrak/email.yaml
// describes them. What the routes mean is in package list.
package wire

//go:generate go tool -modfile=../../../../tools/go.mod oapi-codegen -config oapi-codegen.yaml ../../../listrak/email.yaml

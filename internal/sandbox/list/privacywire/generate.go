// Package privacywire is the generated HTTP server of Listrak's Privacy API: types, parameters and routes as
// internal/listrak/privacy.yaml describes them. What the routes mean is in package list.
package privacywire

//go:generate go tool -modfile=../../../../tools/go.mod oapi-codegen -config oapi-codegen.yaml ../../../listrak/privacy.yaml

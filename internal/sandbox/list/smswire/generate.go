// Package smswire is the generated HTTP server of Listrak's SMS API: types, parameters and routes as internal/listrak/sms.yaml
// describes them. What the routes mean is in package list.
package smswire

//go:generate go tool -modfile=../../../../tools/go.mod oapi-codegen -config oapi-codegen.yaml ../../../listrak/sms.yaml

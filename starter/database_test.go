package main

import (
	"database/sql"
	"testing"

	_ "modernc.org/sqlite"
)

// lockDatabase keeps a SQLite file locked for writing until the returned function is called.
func lockDatabase(t *testing.T, path string) (free func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	must(t, err)
	transaction, err := db.BeginTx(t.Context(), nil)
	must(t, err)
	return func() {
		t.Helper()
		must(t, transaction.Rollback())
		must(t, db.Close())
	}
}

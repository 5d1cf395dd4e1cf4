package ledger_test

import "os"

func crashChild() {
	if os.Getenv("CONCORD_TEST_CRASH") != "" {
		os.Exit(3)
	}
}

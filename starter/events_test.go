package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/concordsync/concord/internal/consent"
)

// TestEachRefusedLineOfAnImportIsNamed on standard error, however many there are; the summary stays short.
func TestEachRefusedLineOfAnImportIsNamed(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	d.switchInLedger(true, consent.SMSEvents)
	var file strings.Builder
	file.WriteString("time,address,message\n")
	fmt.Fprintf(&file, "%s,+12125550100,sale\n", time.Now().UTC().Format(time.RFC3339))
	const refused = 250
	for range refused {
		file.WriteString("yesterday,+12125550101,sale\n")
	}
	path := filepath.Join(t.TempDir(), "sends.csv")
	must(t, os.WriteFile(path, []byte(file.String()), 0o600))
	answer := d.run("events", "import", path, "--type", "sms.sent").is(exitFailed).says("1 event taken in", "250 refused").hides("5550101")
	for line := 3; line < 3+refused; line++ {
		answer.tells(fmt.Sprintf("line %d: its time is in no form", line))
	}
	if lines := strings.Count(answer.out, "\n"); lines > 3 {
		t.Fatalf("the summary has %d lines:\n%s", lines, answer.out)
	}
	fields := d.run("events", "import", path, "--type", "sms.sent", "--output", "json").is(exitFailed).fields()
	if got := strings.Join(fields, " "); got != "duplicate merchant off read_from_listrak refused taken" {
		t.Fatalf("the answer has the fields %s", got)
	}
	d.stdin = "[{}]"
	d.run("events", "import", "-", "--format", "jsonl").is(exitUsage).tells("it is one JSON array", "jq -c").hides("--columns")
}

// TestAnImportSaysWhichFlagMendsIt, as far as the file shows it.
func TestAnImportSaysWhichFlagMendsIt(t *testing.T) {
	t.Parallel()
	d := newDesk(t).add()
	d.run("events", "import", "--help").is(exitOK).says("--columns FIELD=COLUMN,…").hides("(default [])")
	imports := func(file string, more ...string) *answer {
		d.stdin = file
		return d.run(append([]string{"events", "import", "-", "--format", "csv"}, more...)...)
	}
	imports("type;time;address;message\n").is(exitUsage).tells("one column", "--separator ';'").hides("--columns")
	imports("type;time;address;message\n", "--separator", ";").is(exitOK)
	imports("kind,time,address,message\n").is(exitUsage).tells(`no column "type"`, "--columns").hides("--separator")
	line := "type,time,address,message\n%s," + time.Now().UTC().Format(time.RFC3339) + ",%s,sale\n"
	imports(fmt.Sprintf(line, "Link clicked", "+12125550100")).is(exitFailed).tells(`line 2: unknown type "Link clicked": want sms.sent`, "--types", "--type,")
	imports(fmt.Sprintf(line, "", "+12125550100")).is(exitFailed).tells("line 2: the type is missing: want", "--types")
	imports(fmt.Sprintf(line, "Ann Sent", "+12125550100")).is(exitFailed).tells("line 2: unknown type: want", "--types").hides("Ann")
	imports(fmt.Sprintf(line, "sms.sent", "")).is(exitFailed).tells("line 2: the address is missing").hides("--types")
}

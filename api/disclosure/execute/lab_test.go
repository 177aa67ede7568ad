package execute_test

import (
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/disclosure/disclosuretest"
	"griffier/api/disclosure/execute"
)

// lab is the legal path, with what only the tests of this package do.
type lab struct{ *disclosuretest.Lab }

func newLab(t *testing.T) *lab {
	t.Helper()
	return &lab{disclosuretest.New(t)}
}

func (l *lab) socket() string { return l.Sock }

func newTraffic(conn driver.Conn) *execute.Traffic { return execute.NewTraffic(conn) }

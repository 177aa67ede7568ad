package engine

import (
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

// helloStatement is the first thing clickhouse-go asks over HTTP.
const helloStatement = "SELECT displayName(), version(), revision(), timezone()"

// From these protocol revisions on, a Native block carries a block info, and
// each column a flag for custom serialisation (ClickHouse's ProtocolDefines.h).
const (
	revisionBlockInfo           = 51903
	revisionCustomSerialisation = 54454
)

func isHello(sql string, req *request) bool {
	return req.revision > 0 && req.format == "Native" && strings.TrimSpace(sql) == helloStatement
}

// answerHello tells a client that this server speaks protocol revision 0. The
// engine writes the Native format as files hold it, without the additions that
// a client asks for with client_protocol_version. The client adopts the
// revision it is told, but reads this first answer at its own, so this one
// block is encoded here.
func answerHello(s *session, req *request, out *response) error {
	row, err := s.run("SELECT displayName(), version(), timezone()", "TabSeparatedRaw", nil)
	if err != nil {
		return err
	}
	fields := strings.Split(strings.TrimSuffix(string(row), "\n"), "\t")
	if len(fields) != 3 {
		return refuse(codeUnknown, "the engine's greeting has %d fields", len(fields))
	}
	var b proto.Buffer
	if req.revision >= revisionBlockInfo {
		proto.BlockInfo{BucketNum: -1}.Encode(&b)
	}
	b.PutUVarInt(4) // columns
	b.PutUVarInt(1) // rows
	column := func(name, kind string) {
		b.PutString(name)
		b.PutString(kind)
		if req.revision >= revisionCustomSerialisation {
			b.PutBool(false)
		}
	}
	column("displayName()", "String")
	b.PutString(fields[0])
	column("version()", "String")
	b.PutString(fields[1])
	column("revision()", "UInt32")
	b.PutUInt32(0)
	column("timezone()", "String")
	b.PutString(fields[2])
	if err := out.write(b.Buf); err != nil {
		return err
	}
	return out.finish()
}

// Package engine runs ClickHouse inside this process and serves it on a unix
// socket, so that a small installation needs no database server.
//
// The engine is the real one: libchdb, ClickHouse built as a shared library,
// taken from the npm package named by [Package] and bound without cgo. It
// speaks ClickHouse's HTTP interface on a unix socket of mode 0600, which makes
// github.com/ClickHouse/clickhouse-go/v2 (Protocol: clickhouse.HTTP) a normal
// client of it: [ClientOptions] returns ready-made options. There is no TCP
// port and there are no users: whoever may open the socket may read everything,
// so the file's mode and owner are the whole access control.
//
// # One per process, one per folder
//
// ClickHouse keeps global state, so a process has at most one open engine.
// After [Engine.Close] another one may be started in the same process, on the
// same or another folder. A folder belongs to one process at a time;
// [ErrLocked] says so.
//
// # What differs from a server
//
//   - The protocol revision reported to clients is 0: blocks are sent in the
//     plain Native form of ClickHouse's own Native format.
//   - One request holds one statement; sessions (session_id), external tables
//     and users do not exist, and are refused rather than ignored.
//   - Statements reach nothing but the store: no files, URLs, programs or other
//     databases. Even the word "file" outside quotes is refused.
//   - Settings that decide what an acknowledged insert means are pinned:
//     async_insert=0, log_queries=0 and
//     deduplicate_blocks_in_dependent_materialized_views=1. Parts are fsynced
//     before an insert is acknowledged. non_replicated_deduplication_window is
//     up to each table.
//   - query_id is echoed but is not the engine's own; a query is stopped by
//     cancelling its context, which closes its connection.
//
// An exception's text may quote the statement and its values, as ClickHouse's
// do: it goes to the client, and a client that handles personal data must not
// log it. This package logs nothing.
package engine

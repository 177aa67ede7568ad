package engine

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library is libchdb's C interface, as declared in its chdb.h. Handles point
// into C memory and are opaque here; every string is passed with its length.
type library struct {
	setSignalHandlersEnabled func(enabled int32)
	version                  func() string

	connect   func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	closeConn func(conn unsafe.Pointer)
	classify  func(conn, sql unsafe.Pointer, sqlLen uintptr, database unsafe.Pointer, databaseLen uintptr, out unsafe.Pointer) int32

	query             statementFunc
	streamQuery       statementFunc
	streamFetch       func(conn, result unsafe.Pointer) unsafe.Pointer
	streamCancelQuery func(conn, result unsafe.Pointer)

	streamInsert        statementFunc
	streamAppend        func(stream, data unsafe.Pointer, n uintptr) int32
	streamDone          func(stream unsafe.Pointer) unsafe.Pointer
	streamCancelInsert  func(stream unsafe.Pointer)
	streamInsertError   func(stream unsafe.Pointer) string
	destroyInsertStream func(stream unsafe.Pointer)

	resultBuffer      func(result unsafe.Pointer) unsafe.Pointer
	resultLength      func(result unsafe.Pointer) uintptr
	resultError       func(result unsafe.Pointer) string
	resultRowsWritten func(result unsafe.Pointer) uint64
	destroyResult     func(result unsafe.Pointer)
}

// statementFunc is the shape that the three ways of running a statement share:
// connection, statement, format, and parameters as parallel arrays.
type statementFunc func(conn, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr,
	names, nameLens, values, valueLens unsafe.Pointer, count uintptr) unsafe.Pointer

// loaded is the library of this process: it cannot be unloaded, so the first
// path wins.
var loaded struct {
	sync.Mutex
	path string
	lib  *library
}

// loadLibrary maps the library at path and resolves its symbols. It fails if
// the process has already loaded another file.
func loadLibrary(path string) (*library, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.lib != nil {
		if loaded.path != path {
			return nil, fmt.Errorf("load engine library: this process has already loaded %s", loaded.path)
		}
		return loaded.lib, nil
	}
	var lib *library
	var err error
	keepSignals(func() { lib, err = openLibrary(path) })
	if err != nil {
		return nil, err
	}
	loaded.path, loaded.lib = path, lib
	return lib, nil
}

func openLibrary(path string) (*library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load engine library: %w", err)
	}
	lib := new(library)
	var missing []error
	for name, function := range map[string]any{
		"chdb_set_signal_handlers_enabled": &lib.setSignalHandlersEnabled,
		"chdb_version":                     &lib.version,
		"chdb_connect":                     &lib.connect,
		"chdb_close_conn":                  &lib.closeConn,
		"chdb_classify_query_n":            &lib.classify,
		"chdb_query_with_params_n":         &lib.query,
		"chdb_stream_query_with_params_n":  &lib.streamQuery,
		"chdb_stream_fetch_result":         &lib.streamFetch,
		"chdb_stream_cancel_query":         &lib.streamCancelQuery,
		"chdb_stream_insert_with_params_n": &lib.streamInsert,
		"chdb_stream_append":               &lib.streamAppend,
		"chdb_stream_done":                 &lib.streamDone,
		"chdb_stream_cancel_insert":        &lib.streamCancelInsert,
		"chdb_stream_insert_error":         &lib.streamInsertError,
		"chdb_destroy_insert_stream":       &lib.destroyInsertStream,
		"chdb_result_buffer":               &lib.resultBuffer,
		"chdb_result_length":               &lib.resultLength,
		"chdb_result_error":                &lib.resultError,
		"chdb_result_rows_written":         &lib.resultRowsWritten,
		"chdb_destroy_query_result":        &lib.destroyResult,
	} {
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			missing = append(missing, err)
			continue
		}
		purego.RegisterFunc(function, symbol)
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("load engine library: %w", errors.Join(missing...))
	}
	lib.setSignalHandlersEnabled(0)
	return lib, nil
}

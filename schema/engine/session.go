package engine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

// session is one connection to the engine: its own current database, settings
// and query parameters. Opening one costs some 60 µs, so each request gets a
// fresh one and nothing leaks from request to request.
//
// A session belongs to the goroutine that opened it and keeps that goroutine on
// its thread, because the engine attaches state and a name to the thread.
type session struct {
	lib *library
	ptr unsafe.Pointer // chdb_connection *
}

// errNotOpened reports that the engine refused to start; the library prints the
// reason on standard error and does not hand it over.
var errNotOpened = errors.New("the engine did not open; it printed the reason on standard error")

// openSession connects with the given engine arguments, which must name the
// same folder for every session of the process.
func openSession(lib *library, args []string) (*session, error) {
	argv := make([]*byte, 0, len(args)+1)
	for _, arg := range args {
		if strings.ContainsRune(arg, 0) {
			return nil, errors.New("engine argument holds a NUL byte")
		}
		argv = append(argv, &append([]byte(arg), 0)[0])
	}
	argc := int32(len(argv))
	argv = append(argv, nil)
	runtime.LockOSThread()
	name := mainThreadName()
	ptr := lib.connect(argc, unsafe.Pointer(&argv[0]))
	runtime.KeepAlive(argv)
	if ptr == nil {
		setMainThreadName(name)
		runtime.UnlockOSThread()
		return nil, errNotOpened
	}
	setMainThreadName(name)
	return &session{lib: lib, ptr: ptr}, nil
}

// close ends the session and whatever it still runs.
func (s *session) close() {
	name := mainThreadName()
	s.lib.closeConn(s.ptr)
	s.ptr = nil
	setMainThreadName(name)
	runtime.UnlockOSThread()
}

func (s *session) handle() unsafe.Pointer { return *(*unsafe.Pointer)(s.ptr) }

// run executes one statement and returns its whole result in the given format.
func (s *session) run(sql, format string, params []parameter) ([]byte, error) {
	result := s.call(s.lib.query, sql, format, params)
	if result == nil {
		return nil, errNoResult
	}
	defer s.lib.destroyResult(result)
	if text := s.lib.resultError(result); text != "" {
		return nil, exceptionFrom(text)
	}
	return append([]byte(nil), s.bytes(result)...), nil
}

// errNoResult means that the library returned no handle at all.
var errNoResult = errors.New("the engine returned nothing")

func (s *session) bytes(result unsafe.Pointer) []byte {
	n := s.lib.resultLength(result)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(s.lib.resultBuffer(result)), n)
}

// analysis mirrors chdb_query_analysis_v1.
type analysis struct {
	structSize     uint32
	statementCount uint32
	flags          uint32
	queryClass     uint32
}

// statements returns how many statements the engine's parser sees in sql; 0
// means that it does not parse.
func (s *session) statements(sql string) (uint32, error) {
	text := []byte(sql)
	out := &analysis{}
	out.structSize = uint32(unsafe.Sizeof(*out))
	state := s.lib.classify(s.handle(), bytesPointer(text), uintptr(len(text)), nil, 0, unsafe.Pointer(out))
	runtime.KeepAlive(text)
	if state != 0 {
		return 0, errors.New("the engine could not analyse the statement")
	}
	return out.statementCount, nil
}

// stream is a running SELECT whose result is fetched in pieces.
type stream struct {
	s      *session
	result unsafe.Pointer
}

// errNotStreamable is returned for statements that the library runs only as a
// whole: everything but SELECT. Nothing has been executed then.
var errNotStreamable = errors.New("statement cannot be streamed")

// notStreamable is how the library words that refusal.
const notStreamable = "Code: 36. DB::Exception: Streaming query is not supported for query"

// stream starts a SELECT. The caller closes the stream.
func (s *session) stream(sql, format string, params []parameter) (*stream, error) {
	result := s.call(s.lib.streamQuery, sql, format, params)
	if result == nil {
		return nil, errNoResult
	}
	if text := s.lib.resultError(result); text != "" {
		s.lib.destroyResult(result)
		if strings.HasPrefix(text, notStreamable) {
			return nil, errNotStreamable
		}
		return nil, exceptionFrom(text)
	}
	return &stream{s: s, result: result}, nil
}

// next hands one piece of the result to use, which must not keep it, and
// reports whether there was one.
func (st *stream) next(use func([]byte) error) (bool, error) {
	lib := st.s.lib
	piece := lib.streamFetch(st.s.handle(), st.result)
	if piece == nil {
		return false, errNoResult
	}
	defer lib.destroyResult(piece)
	if text := lib.resultError(piece); text != "" {
		return false, exceptionFrom(text)
	}
	data := st.s.bytes(piece)
	if len(data) == 0 {
		return false, nil
	}
	return true, use(data)
}

func (st *stream) close() {
	st.s.lib.streamCancelQuery(st.s.handle(), st.result)
	st.s.lib.destroyResult(st.result)
}

// insertion is an INSERT whose data is pushed in pieces.
type insertion struct {
	s      *session
	handle unsafe.Pointer
}

// insert begins an INSERT; sql has no FORMAT clause and no data.
func (s *session) insert(sql, format string, params []parameter) (*insertion, error) {
	handle := s.call(s.lib.streamInsert, sql, format, params)
	if handle == nil {
		return nil, errNoResult
	}
	in := &insertion{s: s, handle: handle}
	if text := s.lib.streamInsertError(handle); text != "" {
		in.close()
		return nil, exceptionFrom(text)
	}
	return in, nil
}

// append pushes data, blocking while the engine is behind. It returns false if
// the insert has already failed; finish then tells why.
func (in *insertion) append(data []byte) bool {
	if len(data) == 0 {
		return true
	}
	ok := in.s.lib.streamAppend(in.handle, unsafe.Pointer(&data[0]), uintptr(len(data))) == 0
	runtime.KeepAlive(data)
	return ok
}

// finish commits the insert and returns the rows written, materialised views
// included.
func (in *insertion) finish() (uint64, error) {
	result := in.s.lib.streamDone(in.handle)
	if result == nil {
		return 0, errNoResult
	}
	defer in.s.lib.destroyResult(result)
	if text := in.s.lib.resultError(result); text != "" {
		return 0, exceptionFrom(text)
	}
	return in.s.lib.resultRowsWritten(result), nil
}

// cancel drops what has been pushed. Blocks that the engine has already written
// stay, as with any ClickHouse insert.
func (in *insertion) cancel() { in.s.lib.streamCancelInsert(in.handle) }

func (in *insertion) close() { in.s.lib.destroyInsertStream(in.handle) }

// parameter is the value of a {name:Type} placeholder, in ClickHouse's escaped
// text form.
type parameter struct{ name, value string }

func (s *session) call(f statementFunc, sql, format string, params []parameter) unsafe.Pointer {
	text, kind := []byte(sql), []byte(format)
	names, nameLens := pointers(params, func(p parameter) string { return p.name })
	values, valueLens := pointers(params, func(p parameter) string { return p.value })
	var n, nl, v, vl unsafe.Pointer
	if len(params) > 0 {
		n, nl = unsafe.Pointer(&names[0]), unsafe.Pointer(&nameLens[0])
		v, vl = unsafe.Pointer(&values[0]), unsafe.Pointer(&valueLens[0])
	}
	result := f(s.handle(), bytesPointer(text), uintptr(len(text)), bytesPointer(kind), uintptr(len(kind)),
		n, nl, v, vl, uintptr(len(params)))
	runtime.KeepAlive([]any{text, kind, names, nameLens, values, valueLens})
	return result
}

func pointers(params []parameter, of func(parameter) string) ([]*byte, []uintptr) {
	at, lens := make([]*byte, len(params)), make([]uintptr, len(params))
	for i, p := range params {
		text := of(p)
		at[i] = &append([]byte(text), 0)[0]
		lens[i] = uintptr(len(text))
	}
	return at, lens
}

func bytesPointer(b []byte) unsafe.Pointer {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Pointer(&b[0])
}

// mainThreadName returns the process's name if this is its main thread. The
// engine names the threads it works on, which on the main thread renames the
// process as ps, systemd and the kernel log see it.
func mainThreadName() string {
	if syscall.Gettid() != os.Getpid() {
		return ""
	}
	name, err := os.ReadFile("/proc/thread-self/comm")
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(name), "\n")
}

// setMainThreadName undoes a renaming; a failure leaves only a wrong name.
func setMainThreadName(name string) {
	if name == "" {
		return
	}
	if now := mainThreadName(); now != name {
		_ = os.WriteFile(fmt.Sprintf("/proc/self/task/%d/comm", os.Getpid()), []byte(name), 0)
	}
}

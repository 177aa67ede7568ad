package engine

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// handler serves ClickHouse's HTTP interface.
func (e *Engine) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/ping", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "Ok.\n") })
	mux.HandleFunc("/{$}", e.serve)
	return mux
}

// maxDrainBytes is how much unread data of a failed INSERT is read and dropped,
// so that the client gets to see the answer.
const maxDrainBytes = 1 << 30

func (e *Engine) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.RawQuery == "" {
		_, _ = io.WriteString(w, "Ok.\n")
		return
	}
	req, err := parseRequest(r)
	if err == nil && req.queryID == "" {
		req.queryID = newToken()
	}
	if err != nil {
		_, _ = io.CopyN(io.Discard, r.Body, maxDrainBytes)
		writeException(w, asException(err), "")
		return
	}
	out := newResponse(w, req)
	if err := e.execute(r.Context(), req, out); err != nil {
		_, _ = io.CopyN(io.Discard, r.Body, maxDrainBytes)
		out.fail(asException(err))
	}
}

func asException(err error) *exception {
	var e *exception
	if errors.As(err, &e) {
		return e
	}
	return refuse(codeUnknown, "%v", err)
}

// execute runs one request in a session of its own.
func (e *Engine) execute(ctx context.Context, req *request, out *response) error {
	sql, insert, data, err := req.statement(e.config.MaxStatementBytes)
	if err != nil {
		return err
	}
	inspected := sql
	if insert != nil {
		inspected = insert.statement
	}
	if word := reachesOutside(inspected); word != "" {
		return refuse(codeAccessDenied, "%s reaches files of the host, which the embedded engine does not allow", word)
	}
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-ctx.Done():
		return refuse(codeQueryCancelled, "the request was cancelled before it ran")
	}
	e.running.Add(1)
	defer e.running.Done()

	s, err := openSession(e.lib, e.args)
	if err != nil {
		return err
	}
	defer s.close()
	token := newToken()
	if err := prepare(s, req, token); err != nil {
		return err
	}
	defer e.killWhenDone(ctx, token)()

	switch {
	case insert != nil:
		return runInsert(ctx, s, req, insert, data, out)
	case isHello(sql, req):
		return answerHello(s, req, out)
	default:
		return runQuery(ctx, s, req, sql, out)
	}
}

// prepare selects the database and applies the request's settings. The token
// goes into log_comment, where the engine shows it beside the running query.
func prepare(s *session, req *request, token string) error {
	if req.database != "" {
		if _, err := s.run("USE "+quoteName(req.database), "Null", nil); err != nil {
			return err
		}
	}
	comment := token
	var set strings.Builder
	for _, x := range req.settings {
		if x.name == "log_comment" {
			comment += " " + x.value
			continue
		}
		if set.Len() > 0 {
			set.WriteString(", ")
		}
		set.WriteString(x.name + " = " + quoteText(x.value))
	}
	text := "SET log_comment = " + quoteText(comment)
	if set.Len() > 0 {
		text += ", " + set.String()
	}
	_, err := s.run(text, "Null", nil)
	return err
}

var textEscapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

func quoteText(s string) string { return "'" + textEscapes.Replace(s) + "'" }

var nameEscapes = strings.NewReplacer(`\`, `\\`, "`", "\\`")

func quoteName(s string) string { return "`" + nameEscapes.Replace(s) + "`" }

// killPause is the time between attempts to stop a query: a query that has not
// begun cannot be killed yet.
const killPause = 50 * time.Millisecond

// killWhenDone stops the query that carries the token when ctx ends. The
// returned function ends the watch and waits for it.
func (e *Engine) killWhenDone(ctx context.Context, token string) (stop func()) {
	finished := make(chan struct{})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-finished:
			return
		case <-ctx.Done():
		}
		s, err := openSession(e.lib, e.args)
		if err != nil {
			return // the query runs to its own end
		}
		defer s.close()
		tick := time.NewTicker(killPause)
		defer tick.Stop()
		for {
			_, _ = s.run("KILL QUERY WHERE startsWith(Settings['log_comment'], "+quoteText(token)+") ASYNC", "Null", nil)
			select {
			case <-finished:
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		close(finished)
		<-gone
	}
}

// runQuery runs anything but an INSERT with data.
func runQuery(ctx context.Context, s *session, req *request, sql string, out *response) error {
	if err := oneStatement(s, sql); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return refuse(codeQueryCancelled, "the request was cancelled before it ran")
	}
	st, err := s.stream(sql, req.format, req.params)
	if errors.Is(err, errNotStreamable) {
		result, err := s.run(sql, req.format, req.params)
		if err != nil {
			return err
		}
		if len(result) > 0 {
			if err := out.write(result); err != nil {
				return err
			}
		}
		return out.finish()
	}
	if err != nil {
		return err
	}
	defer st.close()
	for {
		more, err := st.next(out.write)
		if err != nil {
			return err
		}
		if !more {
			return out.finish()
		}
	}
}

// oneStatement refuses texts that hold several statements, as ClickHouse's own
// HTTP interface does: what follows a semicolon was not meant to run.
func oneStatement(s *session, sql string) error {
	if strings.TrimSpace(sql) != "" && !strings.Contains(strings.TrimRight(sql, "; \t\r\n"), ";") {
		return nil // and the engine need not parse it twice
	}
	n, err := s.statements(sql)
	switch {
	case err != nil:
		return err
	case n > 1:
		return refuse(codeSyntaxError, "Syntax error (Multi-statements are not allowed)")
	case n == 0 && strings.TrimSpace(sql) == "":
		return refuse(codeSyntaxError, "Syntax error: empty query")
	case n == 0 && strings.Contains(strings.TrimRight(sql, "; \t\r\n"), ";"):
		// The engine would run the statements before the broken one.
		return refuse(codeSyntaxError, "Syntax error: the statement does not parse")
	}
	return nil
}

// insertPieceBytes is how much of an INSERT's data is held at a time.
const insertPieceBytes = 256 << 10

// fill reads until piece is full or the data ends. Unlike [io.ReadFull] it keeps
// the end of the data (io.EOF) apart from a body that broke off.
func fill(data io.Reader, piece []byte) (n int, err error) {
	for n < len(piece) && err == nil {
		var got int
		got, err = data.Read(piece[n:])
		n += got
	}
	if errors.Is(err, io.EOF) { // the block reader wraps it
		err = io.EOF
	}
	return n, err
}

// runInsert streams data into the engine. It answers only when the data is
// stored; a body that breaks off stores nothing that the engine had not yet
// written.
func runInsert(ctx context.Context, s *session, req *request, insert *insertText, data io.Reader, out *response) error {
	in, err := s.insert(insert.statement, insert.format, req.params)
	if err != nil {
		return err
	}
	defer in.close()
	piece := make([]byte, insertPieceBytes)
	for {
		n, err := fill(data, piece)
		accepted := in.append(piece[:n])
		if err == io.EOF || !accepted {
			break
		}
		if err != nil {
			in.cancel()
			return bodyError(err)
		}
	}
	if err := ctx.Err(); err != nil {
		in.cancel()
		return refuse(codeQueryCancelled, "the insert was cancelled")
	}
	if _, err := in.finish(); err != nil {
		return err
	}
	return out.finish()
}

package engine

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"

	"github.com/ClickHouse/ch-go/compress"
)

// blockBytes is the largest piece that goes into one compressed block.
const blockBytes = 1 << 20

// bufferedBytes bounds a result that the client wants only when it is complete
// (wait_end_of_query).
const bufferedBytes = 256 << 20

// response writes one result. Nothing is sent before the first byte of the
// result, so an early failure has a status of its own; a later one is framed
// into the stream the way ClickHouse does it.
type response struct {
	w       http.ResponseWriter
	req     *request
	tag     string
	started bool
	pending bytes.Buffer // the result so far, under wait_end_of_query
	blocks  *compress.Writer
	plain   *compress.Writer
}

func newResponse(w http.ResponseWriter, req *request) *response {
	out := &response{w: w, req: req, tag: newToken()[:16]}
	if req.compressed {
		out.blocks = compress.NewWriter(compress.LevelZero, req.method)
		out.plain = compress.NewWriter(compress.LevelZero, compress.None)
	}
	return out
}

// write sends a piece of the result.
func (out *response) write(data []byte) error {
	if out.req.waitForEnd {
		if out.pending.Len()+len(data) > bufferedBytes {
			return refuse(codeTooLarge, "a result of more than %d bytes cannot be waited for; leave wait_end_of_query out", bufferedBytes)
		}
		out.pending.Write(data)
		return nil
	}
	if err := out.send(data); err != nil {
		return err
	}
	return http.NewResponseController(out.w).Flush()
}

// finish ends a result that has been written completely.
func (out *response) finish() error {
	if out.pending.Len() > 0 {
		return out.send(out.pending.Bytes())
	}
	if !out.started {
		out.head()
		out.w.Header().Set("Content-Length", "0")
		out.w.WriteHeader(http.StatusOK)
		out.started = true
	}
	return nil
}

func (out *response) head() {
	h := out.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-ClickHouse-Format", out.req.format)
	h.Set("X-ClickHouse-Query-Id", out.req.queryID)
	h.Set("X-ClickHouse-Exception-Tag", out.tag)
}

func (out *response) send(data []byte) error {
	if !out.started {
		out.head()
		out.w.WriteHeader(http.StatusOK)
		out.started = true
	}
	if out.blocks == nil {
		_, err := out.w.Write(data)
		return err
	}
	for len(data) > 0 {
		n := min(len(data), blockBytes)
		if err := out.blocks.Compress(data[:n]); err != nil {
			return err
		}
		if _, err := out.w.Write(out.blocks.Data); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// fail reports an exception: by status and header if nothing has been sent, else
// as the block that ends a broken stream.
func (out *response) fail(e *exception) {
	if !out.started {
		out.started = true
		writeException(out.w, e, out.req.queryID)
		return
	}
	text := e.text
	frame := fmt.Appendf(nil, "\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", out.tag, text, len(text)+1, out.tag)
	if out.plain != nil {
		// Stored, not compressed, so that a client that looks for the marker in
		// what it received finds it.
		if out.plain.Compress(frame) != nil {
			return
		}
		frame = out.plain.Data
	}
	_, _ = out.w.Write(frame) // the client is told, or gone
}

// writeException answers a request that has no result.
func writeException(w http.ResponseWriter, e *exception, queryID string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.code))
	if queryID != "" {
		h.Set("X-ClickHouse-Query-Id", queryID)
	}
	w.WriteHeader(statusOf(e.code))
	_, _ = fmt.Fprintln(w, e.text)
}

// statusOf maps a ClickHouse code to an HTTP status as its HTTP interface does.
func statusOf(code int) int {
	switch code {
	case 36, 62, 26, 27, 38, 41, 53, 42, 43, 44, 46, 47, 50, 57, 115, 386:
		return http.StatusBadRequest
	case 60, 81:
		return http.StatusNotFound
	case 48:
		return http.StatusNotImplemented
	case 307:
		return http.StatusRequestEntityTooLarge
	case 497:
		return http.StatusForbidden
	default:
		return http.StatusInternalServerError
	}
}

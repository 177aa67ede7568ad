package engine

import (
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
)

// request is one HTTP request as ClickHouse's HTTP interface reads it: the
// statement in the URL's "query" or in the body, parameters as "param_x", and
// every other URL value that is not reserved a setting.
type request struct {
	sql      string    // from the URL; empty if the body holds it
	body     io.Reader // decoded: data of an INSERT, or the statement
	database string
	format   string // of the result, unless the statement names one
	params   []parameter
	settings []setting
	revision uint64 // client_protocol_version

	compressed bool            // the result goes out in compressed blocks
	method     compress.Method // of those blocks
	queryID    string
	waitForEnd bool // the whole result before the first byte
}

type setting struct{ name, value string }

// identifier is what a setting or parameter may be called.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ignoredValues are URL values with nothing to do here: quotas do not exist,
// and there is one user, whom the socket's mode has let in.
var ignoredValues = map[string]bool{
	"quota_key": true, "user": true, "password": true, "buffer_size": true, "stacktrace": true,
}

// unsupportedValues change what a statement means, so they are refused.
var unsupportedValues = map[string]bool{
	"session_id": true, "session_timeout": true, "session_check": true, "close_session": true, "role": true,
}

// parseRequest reads everything but the body. Its errors are exceptions for the
// client.
func parseRequest(r *http.Request) (*request, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(codeBadArguments, "the URL does not parse")
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		return nil, refuse(codeNotImplemented, "external tables are not supported by the embedded engine")
	}
	req := &request{format: "TabSeparated", method: compress.LZ4}
	if format := r.Header.Get("X-ClickHouse-Format"); format != "" {
		req.format = format
	}
	if database := r.Header.Get("X-ClickHouse-Database"); database != "" {
		req.database = database
	}
	decompress := false
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		value := values.Get(name)
		switch {
		case name == "query":
			req.sql = value
		case name == "database":
			req.database = value
		case name == "default_format":
			req.format = value
		case name == "query_id":
			req.queryID = value
		case name == "client_protocol_version":
			if _, err := fmt.Sscanf(value, "%d", &req.revision); err != nil {
				return nil, refuse(codeBadArguments, "client_protocol_version is not a number")
			}
		case name == "compress":
			req.compressed = truth(value)
		case name == "decompress":
			decompress = truth(value)
		case name == "wait_end_of_query":
			req.waitForEnd = truth(value)
		case strings.HasPrefix(name, "param_"):
			if !identifier.MatchString(name) {
				return nil, refuse(codeBadArguments, "parameter name is not an identifier")
			}
			req.params = append(req.params, parameter{strings.TrimPrefix(name, "param_"), value})
		case ignoredValues[name]:
		case unsupportedValues[name]:
			return nil, refuse(codeNotImplemented, "%s is not supported by the embedded engine", name)
		case !identifier.MatchString(name):
			return nil, refuse(codeUnknownSettings, "setting name is not an identifier")
		default:
			if name == "network_compression_method" && strings.EqualFold(value, "ZSTD") {
				req.method = compress.ZSTD
			}
			req.settings = append(req.settings, setting{name, value})
		}
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		req.settings = append(req.settings, setting{"readonly", "2"})
	}
	// A read-only session cannot be given more settings, so that one comes last.
	sort.SliceStable(req.settings, func(i, j int) bool {
		return req.settings[i].name != "readonly" && req.settings[j].name == "readonly"
	})
	req.body, err = decodeBody(r, decompress)
	return req, err
}

func truth(value string) bool { return value == "1" || strings.EqualFold(value, "true") }

// decodeBody undoes the transfer's compression: HTTP's own or ClickHouse's
// blocks.
func decodeBody(r *http.Request, blocks bool) (io.Reader, error) {
	var body io.Reader = r.Body
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "":
	case "gzip":
		reader, err := gzip.NewReader(body)
		if err != nil {
			return nil, refuse(codeCannotRead, "the body is not gzip")
		}
		body = reader
	case "deflate":
		reader, err := zlib.NewReader(body)
		if err != nil {
			return nil, refuse(codeCannotRead, "the body is not deflate")
		}
		body = reader
	default:
		return nil, refuse(codeNotImplemented, "content encoding is not supported; use gzip, deflate, or none on a local socket")
	}
	if blocks {
		body = compress.NewReader(body)
	}
	return body, nil
}

// readText reads at most limit bytes, and reports whether there is more.
func readText(r io.Reader, limit int64) (text []byte, more bool, err error) {
	text, err = io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, false, err
	}
	return text, int64(len(text)) > limit, nil
}

// statement brings the parts of a request together: what to run, and for an
// INSERT with data the reader of that data.
func (req *request) statement(limit int64) (sql string, insert *insertText, data io.Reader, err error) {
	sql, data = req.sql, req.body
	if strings.TrimSpace(sql) == "" {
		text, more, err := readText(req.body, limit)
		if err != nil {
			return "", nil, nil, bodyError(err)
		}
		sql = string(text)
		if more {
			if split, ok := splitInsert(sql); ok {
				return sql, &split, io.MultiReader(strings.NewReader(split.data), req.body), nil
			}
			return "", nil, nil, refuse(codeTooLarge, "the statement is longer than %d bytes", limit)
		}
		data = strings.NewReader("")
	}
	if split, ok := splitInsert(sql); ok {
		if req.sql == "" && split.format == "Values" {
			return sql, nil, nil, nil // literals and expressions: the engine reads them from the text
		}
		return sql, &split, io.MultiReader(strings.NewReader(split.data), data), nil
	}
	if req.sql != "" {
		text, more, err := readText(data, limit)
		if err != nil {
			return "", nil, nil, bodyError(err)
		}
		if more {
			return "", nil, nil, refuse(codeTooLarge, "the statement is longer than %d bytes", limit)
		}
		if len(text) > 0 {
			sql += "\n" + string(text)
		}
	}
	return sql, nil, nil, nil
}

func bodyError(err error) error {
	var e *exception
	if errors.As(err, &e) {
		return e
	}
	return refuse(codeCannotRead, "the request body could not be read to its end")
}

package witness

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Handler serves POST /add-checkpoint (C2SP tlog-witness) and GET /checkpoint.
func (w *Witness) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxRequestBytes))
		if err != nil {
			http.Error(rw, "request too large or broken off", http.StatusBadRequest)
			return
		}
		req, err := parseAddCheckpoint(string(body))
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		line, err := w.add(req)
		if err != nil {
			refuse(rw, err)
			return
		}
		io.WriteString(rw, line)
	})
	mux.HandleFunc("GET /checkpoint", func(rw http.ResponseWriter, r *http.Request) {
		note, err := w.remembered(r.URL.Query().Get("origin"))
		switch {
		case err != nil:
			refuse(rw, err)
		case note == "":
			rw.WriteHeader(http.StatusNoContent)
		default:
			io.WriteString(rw, note)
		}
	})
	return mux
}

// refuse answers with the status that the protocol has for it.
func refuse(rw http.ResponseWriter, err error) {
	var conflict *ConflictError
	switch {
	case errors.As(err, &conflict):
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintf(rw, "%d\n", conflict.Size)
	case errors.Is(err, errUnknownLog):
		http.Error(rw, errUnknownLog.Error(), http.StatusNotFound)
	case errors.Is(err, errNotSigned):
		http.Error(rw, errNotSigned.Error(), http.StatusForbidden)
	case errors.Is(err, errBackwards):
		http.Error(rw, errBackwards.Error(), http.StatusBadRequest)
	case errors.Is(err, errInconsistent):
		http.Error(rw, errInconsistent.Error(), http.StatusUnprocessableEntity)
	default: // a disk, say
		http.Error(rw, "the witness cannot sign now", http.StatusInternalServerError)
	}
}

package sink

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Handler serves a store:
//
//	GET  /checkpoint            the checkpoint over all entries; 204 if there are none
//	POST /entries?from=N        append a batch; 409 with the size if N is not it, 422 if it is no extension
//	GET  /entries?from=N&n=M    entries, each with its length before it in 2 bytes
func Handler(s *Store) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /checkpoint", func(w http.ResponseWriter, _ *http.Request) {
		if _, checkpoint := s.Head(); checkpoint != "" {
			io.WriteString(w, checkpoint)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /entries", func(w http.ResponseWriter, r *http.Request) {
		from, err := number(r, "from")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
		if err != nil {
			http.Error(w, "request too large or broken off", http.StatusBadRequest)
			return
		}
		b, err := parseBatch(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		err = s.Append(from, b.leaves, b.checkpoint)
		var behind *BehindError
		switch {
		case err == nil:
			size, _ := s.Head()
			fmt.Fprintf(w, "%d\n", size)
		case errors.As(err, &behind):
			w.WriteHeader(http.StatusConflict)
			fmt.Fprintf(w, "%d\n", behind.Size)
		case errors.Is(err, ErrRefused):
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		default:
			http.Error(w, "the sink cannot be written", http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /entries", func(w http.ResponseWriter, r *http.Request) {
		from, err := number(r, "from")
		n, errN := number(r, "n")
		if err := errors.Join(err, errN); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		leaves, err := s.Read(from, int(min(n, maxBatchEntries)))
		if err != nil {
			http.Error(w, "the sink cannot be read", http.StatusInternalServerError)
			return
		}
		w.Write(appendLeaves(nil, leaves))
	})
	return mux
}

// number reads a decimal number from the query.
func number(r *http.Request, name string) (uint64, error) {
	n, err := strconv.ParseUint(r.URL.Query().Get(name), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%s is not a decimal number below 2^63", name)
	}
	return n, nil
}

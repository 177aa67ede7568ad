package document

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/sealedfile"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
)

// SweepInterval is how often files without a dossier are looked for. Nothing readable
// depends on it: without its warrant's key a file is noise.
const SweepInterval = time.Minute

// strayAge is how old a file without an entry must be before a sweep takes it for
// what a failure left behind. At a start none is too young.
const strayAge = time.Hour

const (
	kind       = "order"
	chunkBytes = 256 << 10
)

var format = sealedfile.Format{What: "order", Magic: "griffier-order/1\n",
	MaxSealedBytes: chunkBytes + 1<<10, MaxFileBytes: warrant.MaxDocumentBytes + warrant.MaxDocumentBytes/16}

// place is what a chunk is sealed to.
func place(id, warrantID string, index uint32, last bool) []byte {
	return fmt.Appendf(nil, "order/1|%s|%s|%d|%t", id, warrantID, index, last)
}

// keys are where case keys are ([keystore.Store]).
type keys interface {
	Seal(id string, plaintext, aad []byte) ([]byte, error)
	Open(id string, ciphertext, aad []byte) ([]byte, error)
	State(id string) error
}

// Config holds what a [Keeper] needs.
type Config struct {
	Dir      string // one process owns it
	Keys     keys
	Book     warrantrpc.Book
	State    *warrant.State // a fold of Book
	Rules    *warrant.Rules
	Scanner  Scanner
	Registry prometheus.Registerer // nil: no metrics
	Now      func() time.Time
	Log      *slog.Logger
}

// Keeper keeps the documents of dossiers. It is safe for concurrent use. Call
// [Keeper.Recover] once before anything else, and keep [Keeper.Run] running.
type Keeper struct {
	cfg     Config
	shelf   sealedfile.Shelf
	stored  *prometheus.CounterVec // by type
	refused prometheus.Counter
	replays prometheus.Counter

	mu     sync.Mutex
	making map[string]bool
}

// New returns a keeper.
func New(cfg Config) (*Keeper, error) {
	if cfg.Keys == nil || cfg.Book == nil || cfg.State == nil || cfg.Rules == nil || cfg.Now == nil {
		return nil, errors.New("keeper of documents: Keys, Book, State, Rules and Now are mandatory")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	shelf, err := sealedfile.OpenShelf(cfg.Dir, kind)
	if err != nil {
		return nil, err
	}
	k := &Keeper{cfg: cfg, shelf: shelf, making: map[string]bool{},
		stored: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "griffier_documents_stored_total",
			Help: "Orders that were stored in a dossier, by their type."}, []string{"type"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "griffier_documents_refused_total",
			Help: "Documents that were not taken: too large, of another type, damaged, or refused by the scanner."}),
		replays: prometheus.NewCounter(prometheus.CounterOpts{Name: "griffier_documents_replayed_total",
			Help: "Orders that another dossier had already: an alert."})}
	if cfg.Registry != nil {
		cfg.Registry.MustRegister(k.stored, k.refused, k.replays)
	}
	return k, nil
}

// Put stores a document in the dossier of a warrant, and returns when the file is on
// disk and the entry in the ledger. The same bytes again, in the same dossier, are
// the document that is there. requestID is the ledger's id of the request.
func (k *Keeper) Put(ctx context.Context, by warrant.Caller, requestID, warrantID, declared string, data []byte) (warrant.Document, error) {
	d, err := k.put(ctx, by, requestID, warrantID, declared, data)
	if reason.Of(err) == reason.DocumentRefused {
		k.refused.Inc()
	}
	return d, err
}

func (k *Keeper) put(ctx context.Context, by warrant.Caller, requestID, warrantID, declared string, data []byte) (warrant.Document, error) {
	w, refusal := k.cfg.Rules.MayStoreDocument(k.cfg.State, k.cfg.Now(), by, warrantID)
	if refusal != nil {
		return warrant.Document{}, refusal
	}
	media, refusal := Detect(data, declared)
	if refusal != nil {
		return warrant.Document{}, refusal
	}
	sum := sha256.Sum256(data)
	req := warrant.StoreDocumentRequest{ID: warrantrpc.RandomID(), WarrantID: warrantID, SHA256: hex.EncodeToString(sum[:]), Type: media, Bytes: int64(len(data))}
	if d, ok := k.cfg.Rules.DocumentOf(k.cfg.State, warrantID, req.SHA256); ok {
		return d, nil
	}
	var err error
	if req.Scan, err = k.cfg.Scanner.Scan(ctx, data); err != nil {
		return warrant.Document{}, err
	}
	k.mark(req.ID, true)
	defer k.mark(req.ID, false)
	if req.FileSHA256, err = k.write(req.ID, w, data); err != nil {
		return warrant.Document{}, errors.Join(fmt.Errorf("seal a document: %w", err), k.shelf.Remove(req.ID))
	}
	_, err = warrantrpc.Decide(ctx, k.cfg.Book, requestID, func(now time.Time) (ledger.Draft, *reason.Error) {
		return k.cfg.Rules.StoreDocument(k.cfg.State, now, by, req)
	})
	if reason.Of(err) == reason.UnknownOutcome {
		return warrant.Document{}, err // it may be in the dossier: a sweep finds out
	}
	stored, ok := k.cfg.State.Document(req.ID)
	if ok {
		k.count(ctx, stored)
		return stored, nil
	}
	if removed := k.shelf.Remove(req.ID); removed != nil {
		return warrant.Document{}, errors.Join(err, fmt.Errorf("remove a document that was not entered: %w", removed))
	}
	if d, ok := k.cfg.Rules.DocumentOf(k.cfg.State, warrantID, req.SHA256); ok && (err == nil || reason.Of(err) == reason.DocumentRefused) {
		return d, nil // another call was first, perhaps an earlier try of this request
	}
	if err == nil {
		err = warrantrpc.ErrReused() // the entry is of another request, or of another document
	}
	return warrant.Document{}, err
}

func (k *Keeper) count(ctx context.Context, d warrant.Document) {
	k.stored.WithLabelValues(string(d.Type)).Inc()
	if len(d.ReplayOf) > 0 {
		k.replays.Inc()
		k.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "an order is in another dossier already",
			slog.String("warrant", d.WarrantID), slog.Int("dossiers", len(d.ReplayOf)))
	}
}

func (k *Keeper) mark(id string, making bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if making {
		k.making[id] = true
	} else {
		delete(k.making, id)
	}
}

// write seals data into the file of an id, and returns its SHA-256.
func (k *Keeper) write(id string, w warrant.Warrant, data []byte) (string, error) {
	f, err := k.shelf.Begin(id)
	if err != nil {
		return "", err
	}
	err = func() error {
		to, err := format.NewWriter(f, func(index uint32, last bool, plain []byte) ([]byte, error) {
			return k.cfg.Keys.Seal(w.KeyID, plain, place(id, w.ID, index, last))
		})
		for err == nil && len(data) > chunkBytes {
			err = to.Put(data[:chunkBytes], false)
			data = data[chunkBytes:]
		}
		if err == nil {
			err = to.Put(data, true)
		}
		return err
	}()
	if err != nil {
		return "", errors.Join(err, f.Close())
	}
	sum, err := sealedfile.Hash(f)
	if err != nil {
		return "", errors.Join(err, f.Close())
	}
	return sum, k.shelf.Finish(id, f)
}

// Get reads a document of a dossier, checked against the ledger's hash of its file
// and the keys that it is sealed to, chunk after chunk. NOT_FOUND: there is none such
// in that dossier, or the dossier was destroyed.
func (k *Keeper) Get(warrantID, id string, each func(chunk []byte) error) (warrant.Document, error) {
	d, ok := k.cfg.State.Document(id)
	w, known := k.cfg.State.Warrant(warrantID)
	if !ok || !known || d.WarrantID != warrantID {
		return warrant.Document{}, reason.New(reason.NotFound, "")
	}
	if errors.Is(k.cfg.Keys.State(w.KeyID), keystore.ErrShredded) {
		return warrant.Document{}, reason.New(reason.NotFound, "The dossier was destroyed.")
	}
	f, err := os.Open(k.shelf.Path(id))
	if err != nil {
		return warrant.Document{}, fmt.Errorf("open a document: %w", err)
	}
	defer f.Close()
	if sum, err := sealedfile.Hash(f); err != nil || sum != d.FileSHA256 {
		return warrant.Document{}, errors.Join(fmt.Errorf("open a document: not the file that the ledger knows: %w", sealedfile.ErrAltered), err)
	}
	r, err := format.NewReader(f, func(index uint32, last bool, sealed []byte) ([]byte, error) {
		return k.cfg.Keys.Open(w.KeyID, sealed, place(id, warrantID, index, last))
	})
	for err == nil {
		var chunk []byte
		if chunk, err = r.Next(); err == nil {
			err = each(chunk)
		}
	}
	if !errors.Is(err, io.EOF) {
		return warrant.Document{}, fmt.Errorf("read a document: %w", err)
	}
	return d, nil
}

package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) documents() *cobra.Command {
	return noun("document", "Orders as they were received, sealed in the dossiers of warrants", a.documentPut(), a.documentList(), a.documentGet())
}

// mediaTypes are what the names of files promise; the server looks at the bytes.
var mediaTypes = map[string]warrant.DocumentType{".pdf": warrant.PDF, ".docx": warrant.DOCX, ".png": warrant.PNG, ".jpg": warrant.JPEG, ".jpeg": warrant.JPEG, ".txt": warrant.Text}

func (a *app) documentPut() *cobra.Command {
	c := &cobra.Command{Use: "put FILE", Short: "Store an order, as it was received, in the dossier of a warrant", Args: oneArg("FILE"),
		Long: `Store an order as it was received: pdf, docx, png, jpeg or plain text, up to 16 MiB. A
warrant cannot be approved before the document that its content names by hash
(document_sha256; sha256sum FILE) is stored. The same bytes again change nothing; in
another dossier they are stored, and are an alert.`,
		Example: `  griffier document put order.pdf --warrant ID`}
	id := c.Flags().String("warrant", "", "warrant id (required)")
	media := c.Flags().String("type", "", "media type (default: by the name of the file)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		o, err := a.readDocument(args[0], *media)
		if err != nil {
			return err
		}
		d, err := a.upload(c.Context(), requestID(*request), *id, o, true)
		if err != nil {
			return err
		}
		return a.print(d, documentTable(d))
	}
	return c
}

// received is an order as it was received.
type received struct {
	data          []byte
	media, sha256 string
}

// readDocument reads one; its type, if it is not given, is what its name promises.
func (a *app) readDocument(path, media string) (received, error) {
	data, err := a.readInput(path, warrant.MaxDocumentBytes)
	if err != nil {
		return received{}, err
	}
	if media == "" {
		known, ok := mediaTypes[strings.ToLower(filepath.Ext(path))]
		if !ok {
			return received{}, usageError{fmt.Errorf("%s: say its --type, for instance %s", path, warrant.PDF)}
		}
		media = string(known)
	}
	sum := sha256.Sum256(data)
	return received{data, media, hex.EncodeToString(sum[:])}, nil
}

// upload stores a document in the dossier of a warrant, and says what else is to be known.
// One that should be the order itself is compared with what the warrant's content names.
func (a *app) upload(ctx context.Context, request, warrantID string, o received, order bool) (*griffierv1.Document, error) {
	stream, err := griffierv1.NewIntakeServiceClient(a.server).UploadDocument(ctx)
	if err != nil {
		return nil, err
	}
	part := &griffierv1.UploadDocumentRequest{RequestId: request, WarrantId: warrantID, ContentType: o.media, Sha256: o.sha256}
	for rest := o.data; ; {
		part.Data = rest[:min(len(rest), 256<<10)]
		if err := stream.Send(part); err != nil && !errors.Is(err, io.EOF) { // with EOF, CloseAndRecv says why
			return nil, err
		}
		if rest = rest[len(part.Data):]; len(rest) == 0 {
			break
		}
		part = &griffierv1.UploadDocumentRequest{}
	}
	d, err := stream.CloseAndRecv()
	if err != nil {
		return nil, err
	}
	if d.GetAlert() != "" {
		fmt.Fprintf(a.stderr, "alert: %s: the same document is in the dossier of %s\n", d.GetAlert(), strings.Join(d.GetReplayOf(), ", "))
	}
	if order && !d.GetOfContent() {
		fmt.Fprintln(a.stderr, "note: the warrant's content names another document")
	}
	return d, nil
}

// paper is what an act rests on, as it was given: a file, or the hash of one that is in
// the dossier.
type paper struct {
	app          *app
	command      *cobra.Command
	file, sha256 *string
}

func (a *app) paperFlags(c *cobra.Command, what string) *paper {
	return &paper{app: a, command: c,
		file:   c.Flags().String("document", "", what+", a file as it was received; it is stored in the dossier, if it is not there (this or --document-sha256)"),
		sha256: c.Flags().String("document-sha256", "", "hash of "+what+", which is in the dossier, or comes there later")}
}

// given refuses a command line with neither or both.
func (p *paper) given() error {
	if (*p.file == "") == (*p.sha256 == "") {
		return usageError{fmt.Errorf("%s: either --document FILE or --document-sha256 HASH is required", called(p.command))}
	}
	return nil
}

// stored returns the hash of the paper, after it was stored if it is a file that the
// dossier does not have. A dry run stores nothing: the server tells what it wants there.
func (p *paper) stored(ctx context.Context, request, warrantID string, dryRun bool) (string, error) {
	if err := p.given(); err != nil || *p.file == "" {
		return *p.sha256, err
	}
	o, err := p.app.readDocument(*p.file, "")
	if err != nil {
		return "", err
	}
	if dryRun {
		return o.sha256, nil
	}
	return o.sha256, p.app.inDossier(ctx, request, warrantID, o)
}

// inDossier stores a document in the dossier of a warrant, unless it is there.
func (a *app) inDossier(ctx context.Context, request, warrantID string, o received) error {
	client := griffierv1.NewIntakeServiceClient(a.server)
	there, err := client.ListDocuments(ctx, &griffierv1.ListDocumentsRequest{WarrantId: warrantID})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(there.GetDocuments(), func(d *griffierv1.Document) bool { return d.GetSha256() == o.sha256 }) {
		return nil
	}
	_, err = a.upload(ctx, request, warrantID, o, false)
	return err
}

// readInput reads a file, or stdin for "-", up to a limit.
func (a *app) readInput(path string, limit int64) ([]byte, error) {
	in := a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, usageError{err}
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, usageError{fmt.Errorf("%s: longer than %d bytes", path, limit)}
	}
	return data, nil
}

func documentTable(list ...*griffierv1.Document) table {
	t := table{header: []string{"document", "type", "bytes", "sha256", "scan", "stored_at", "entry", "of_content", "alert"}}
	for _, d := range list {
		t.add(d.GetDocumentId(), d.GetContentType(), strconv.FormatInt(d.GetBytes(), 10), d.GetSha256(), d.GetScan(), at(d.GetStoredAt()),
			strconv.FormatUint(d.GetLedgerIndex(), 10), strconv.FormatBool(d.GetOfContent()), d.GetAlert())
	}
	return t
}

func (a *app) documentList() *cobra.Command {
	return &cobra.Command{Use: "list WARRANT", Short: "List the documents of a warrant; looking is entered in the ledger", Args: oneArg("WARRANT"),
		RunE: func(c *cobra.Command, args []string) error {
			resp, err := griffierv1.NewIntakeServiceClient(a.server).ListDocuments(c.Context(), &griffierv1.ListDocumentsRequest{WarrantId: args[0]})
			if err != nil {
				return err
			}
			return a.print(resp, documentTable(resp.GetDocuments()...))
		}}
}

func (a *app) documentGet() *cobra.Command {
	c := &cobra.Command{Use: "get DOCUMENT", Short: "Write a document to a file; reading it is entered in the ledger", Args: oneArg("DOCUMENT"),
		Example: `  griffier document get DOCUMENT --warrant ID --to order.pdf`}
	id := c.Flags().String("warrant", "", "warrant id (required)")
	to := c.Flags().String("to", "", "the file to make (required)")
	c.RunE = func(c *cobra.Command, args []string) error {
		stream, err := griffierv1.NewIntakeServiceClient(a.server).DownloadDocument(c.Context(), &griffierv1.DownloadDocumentRequest{WarrantId: *id, DocumentId: args[0]})
		if err != nil {
			return err
		}
		var d *griffierv1.Document
		var data bytes.Buffer
		for {
			part, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if part.GetDocument() != nil {
				d = part.GetDocument()
			}
			if data.Write(part.GetData()); data.Len() > warrant.MaxDocumentBytes {
				return fmt.Errorf("the document is longer than %d bytes", warrant.MaxDocumentBytes)
			}
		}
		if sum := sha256.Sum256(data.Bytes()); hex.EncodeToString(sum[:]) != d.GetSha256() {
			return errors.New("what came is not the document: its hash differs")
		}
		if err := writeNew(*to, data.Bytes()); err != nil {
			return err
		}
		return a.print(d, documentTable(d))
	}
	return c
}

// documentState says whether the order is in the dossier, and what else is known of it.
func documentState(w *griffierv1.Warrant) string {
	state := "not stored: griffier document put"
	if w.GetDocumentStored() {
		state = "stored"
	}
	return strings.TrimSpace(state + " " + strings.Join(w.GetAlerts(), " "))
}

// createWithDocument creates a warrant and stores its order. Both have ids of one
// request: what a failure left undone is done by giving it again.
func (a *app) createWithDocument(c *cobra.Command, create *griffierv1.CreateWarrantRequest, path string) error {
	o, err := a.readDocument(path, "")
	if err != nil {
		return err
	}
	if named := create.GetContent().GetDocumentSha256(); named != "" && named != o.sha256 {
		return usageError{fmt.Errorf("%s is not the document that the order names by document_sha256", path)}
	}
	create.Content.DocumentSha256 = o.sha256
	client := griffierv1.NewWarrantServiceClient(a.server)
	w, err := client.CreateWarrant(c.Context(), create)
	if err != nil {
		return err
	}
	if !create.GetValidateOnly() {
		d, err := a.upload(c.Context(), create.GetRequestId(), w.GetWarrantId(), o, true)
		if err != nil {
			fmt.Fprintf(a.stderr, "the warrant is %s; its document is not stored: griffier document put %s --warrant %s\n", w.GetWarrantId(), path, w.GetWarrantId())
			return err
		}
		w.DocumentStored = d.GetOfContent()
	}
	return a.showWarrant(w)
}

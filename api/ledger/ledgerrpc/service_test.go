package ledgerrpc

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/auth"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

func open(t *testing.T) (*Service, *ledger.Log, *keystore.Store, string) {
	t.Helper()
	dir := t.TempDir()
	key, err := ledger.GenerateKey(filepath.Join(dir, "key"), "test.example/rpc")
	if err != nil {
		t.Fatal(err)
	}
	if err := keystore.GenerateMasterKey(filepath.Join(dir, "master")); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Open(filepath.Join(dir, "keys"), filepath.Join(dir, "master"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := keys.Create(fmt.Sprintf("case:w%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	log, err := ledger.Open(context.Background(), ledger.Config{
		Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"), Key: key, Keys: keys, Limit: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := range 6 {
		_, err := log.Append(context.Background(), ledger.Draft{
			Kind: []string{"warrant.created", "warrant.approved", "ledger.read"}[i%3], WarrantID: fmt.Sprintf("w%d", i%2),
			KeyID: fmt.Sprintf("case:w%d", i%2), Facts: map[string]int{"n": i}, Body: map[string]int{"secret": i}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return NewService(log, Watched{}, func(_ auth.Caller, warrantID string) bool { return warrantID == "w1" }), log, keys, key.Public
}

func TestListEntriesFilters(t *testing.T) {
	s, log, keys, _ := open(t)
	ctx := context.Background()
	if err := keys.Shred("case:w1"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		req  *griffierv1.ListEntriesRequest
		want []uint64
	}{
		{&griffierv1.ListEntriesRequest{}, []uint64{0, 1, 2, 3, 4, 5}},
		{&griffierv1.ListEntriesRequest{Start: 2, Limit: 3}, []uint64{2, 3, 4}},
		{&griffierv1.ListEntriesRequest{Start: 6}, nil},
		{&griffierv1.ListEntriesRequest{Kind: "warrant.approved"}, []uint64{1, 4}},
		{&griffierv1.ListEntriesRequest{WarrantId: "w1", Limit: 2}, []uint64{1, 3}},
		{&griffierv1.ListEntriesRequest{WarrantId: "w1", Kind: "ledger.read"}, []uint64{5}},
	} {
		c.req.WithBodies = true
		res, err := s.ListEntries(ctx, c.req)
		if err != nil {
			t.Fatalf("%v: %v", c.req, err)
		}
		var got []uint64
		for _, e := range res.Entries {
			got = append(got, e.Index)
			entries, err := log.Read(ctx, e.Index, 1)
			if err != nil {
				t.Fatal(err)
			}
			hash, err := entries[0].LeafHash()
			if err != nil || e.LeafSha256 != hex.EncodeToString(hash) {
				t.Errorf("entry %d: leaf hash %s, %v", e.Index, e.LeafSha256, err)
			}
			shredded := e.WarrantId == "w1"
			if e.BodyDestroyed != shredded || (e.BodyJson == "") != shredded || e.FactsJson != fmt.Sprintf(`{"n":%d}`, e.Index) {
				t.Errorf("entry %d: %v", e.Index, e)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) || res.Size != 6 {
			t.Errorf("%v: %v of %d, want %v", c.req, got, res.Size, c.want)
		}
	}
	for _, limit := range []int32{-1, 1001} {
		if _, err := s.ListEntries(ctx, &griffierv1.ListEntriesRequest{Limit: limit}); reason.Of(err) != reason.InvalidRequest {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	res, err := s.ListEntries(ctx, &griffierv1.ListEntriesRequest{})
	if err != nil || res.Entries[0].BodyJson != "" {
		t.Errorf("a body that was not asked for: %v, %v", res, err)
	}
}

func TestGetProofCanBeCheckedWithThePublicKeyAlone(t *testing.T) {
	s, _, _, public := open(t)
	ctx := auth.NewContext(context.Background(), auth.Caller{Actor: "d1", Roles: []griffierv1.Role{griffierv1.Role_ROLE_OVERSEER}})
	res, err := s.GetProof(ctx, &griffierv1.GetProofRequest{Index: 4})
	if err != nil {
		t.Fatal(err)
	}
	proof := ledger.Proof{Index: 4, Leaf: res.Leaf, Hashes: res.Hashes, Checkpoint: res.Checkpoint}
	if e, err := proof.Verify(public); err != nil || e.Header.WarrantID != "w0" {
		t.Fatalf("%+v, %v", e, err)
	}
	proof.Index = 3
	if _, err := proof.Verify(public); err == nil {
		t.Fatal("the proof holds for another index")
	}
	list, err := s.ListEntries(ctx, &griffierv1.ListEntriesRequest{Start: 4, Limit: 1})
	if err != nil || list.Entries[0].LeafSha256 != hex.EncodeToString(rfc6962.DefaultHasher.HashLeaf(res.Leaf)) {
		t.Fatalf("leaf of the proof is not that of the list: %v, %v", list, err)
	}
	if _, err := s.GetProof(ctx, &griffierv1.GetProofRequest{Index: 6}); reason.Of(err) != reason.NotFound {
		t.Fatalf("past the end: %v", err)
	}
	cp, err := s.GetCheckpoint(ctx, &griffierv1.GetCheckpointRequest{})
	if err != nil || cp.Checkpoint != res.Checkpoint {
		t.Fatalf("checkpoint: %v, %v", cp, err)
	}
}

// TestGetProofOfOwnCasesOnly: the leaf has the whole clear header, so an officer has it
// of the warrants of their own team, and of nothing else there is.
func TestGetProofOfOwnCasesOnly(t *testing.T) {
	s, log, _, _ := open(t)
	ctx := auth.NewContext(context.Background(), auth.Caller{Actor: "0f", Roles: []griffierv1.Role{griffierv1.Role_ROLE_LEGAL_OFFICER}})
	for index := range log.Size() + 1 {
		want := reason.NotFound
		if index%2 == 1 && index < log.Size() { // of w1
			want = ""
		}
		if _, err := s.GetProof(ctx, &griffierv1.GetProofRequest{Index: index}); reason.Of(err) != want || (want == "") != (err == nil) {
			t.Errorf("entry %d: %v, want %q", index, err, want)
		}
	}
	_, err := s.GetProof(context.Background(), &griffierv1.GetProofRequest{Index: 1})
	if reason.Of(err) != reason.Unauthenticated {
		t.Errorf("nobody: %v", err)
	}
}

func TestSearch(t *testing.T) {
	s, log, keys, _ := open(t)
	ctx := context.Background()
	for i := range 4 {
		if _, err := log.Append(ctx, ledger.Draft{Kind: "refusal", Actor: fmt.Sprintf("a%d", i%2), Role: "support", TaskID: "t1",
			Reason: []string{"WARRANT_EXPIRED", "MAX_HITS"}[i/2]}); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := log.Read(ctx, 0, 100)
	if err != nil || len(entries) != 10 {
		t.Fatal(len(entries), err)
	}
	time7, time9 := timestamppb.New(entries[7].Header.At), timestamppb.New(entries[9].Header.At)
	for name, c := range map[string]struct {
		req  *griffierv1.ListEntriesRequest
		want []uint64
		next uint64
	}{
		"kinds that begin":    {&griffierv1.ListEntriesRequest{Kind: "warrant."}, []uint64{0, 1, 3, 4}, 0},
		"no kind begins so":   {&griffierv1.ListEntriesRequest{Kind: "warrant"}, nil, 0},
		"actor":               {&griffierv1.ListEntriesRequest{Actor: "a1"}, []uint64{7, 9}, 0},
		"role and reason":     {&griffierv1.ListEntriesRequest{Role: "support", Reason: "MAX_HITS"}, []uint64{8, 9}, 0},
		"task":                {&griffierv1.ListEntriesRequest{TaskId: "t1", Start: 8}, []uint64{8, 9}, 0},
		"from":                {&griffierv1.ListEntriesRequest{From: time7}, []uint64{7, 8, 9}, 0},
		"from, to":            {&griffierv1.ListEntriesRequest{From: time7, To: time9}, []uint64{7, 8}, 0},
		"to before from":      {&griffierv1.ListEntriesRequest{From: time9, To: time7}, nil, 0},
		"a page":              {&griffierv1.ListEntriesRequest{Kind: "refusal", Limit: 2}, []uint64{6, 7}, 8},
		"the next page":       {&griffierv1.ListEntriesRequest{Kind: "refusal", Limit: 2, Start: 8}, []uint64{8, 9}, 0},
		"nothing of that day": {&griffierv1.ListEntriesRequest{To: timestamppb.New(entries[0].Header.At.Add(-time.Hour))}, nil, 0},
	} {
		res, err := s.ListEntries(ctx, c.req)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []uint64
		for _, e := range res.Entries {
			got = append(got, e.Index)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) || res.NextStart != c.next {
			t.Errorf("%s: %v, next %d; want %v, %d", name, got, res.NextStart, c.want, c.next)
		}
	}
	if _, err := s.ListEntries(ctx, &griffierv1.ListEntriesRequest{From: &timestamppb.Timestamp{Nanos: -1}}); reason.Of(err) != reason.InvalidRequest {
		t.Errorf("no time: %v", err)
	}

	// A key that is lost, unlike one that was destroyed, is told as such, and hides
	// no other entry.
	if err := os.RemoveAll(keys.Dir()); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(keys.Dir(), 0o700); err != nil {
		t.Fatal(err)
	}
	res, err := s.ListEntries(ctx, &griffierv1.ListEntriesRequest{WithBodies: true, Limit: 1})
	if err != nil || len(res.Entries) != 1 {
		t.Fatal(err)
	}
	if e := res.Entries[0]; e.BodyJson != "" && e.BodyUnreadable || e.BodyDestroyed {
		t.Errorf("%v", e)
	}
}

// exported is a stream that keeps what is sent.
type exported struct {
	grpc.ServerStream
	ctx  context.Context
	sent []*griffierv1.ExportEntriesResponse
}

func (e *exported) Context() context.Context { return e.ctx }
func (e *exported) Send(m *griffierv1.ExportEntriesResponse) error {
	e.sent = append(e.sent, m)
	return nil
}

// TestExport checks every exported entry with the public key alone, and that no
// body was opened.
func TestExport(t *testing.T) {
	s, log, _, public := open(t)
	out := &exported{ctx: context.Background()}
	if err := s.ExportEntries(&griffierv1.ExportEntriesRequest{Filter: &griffierv1.ListEntriesRequest{WarrantId: "w1"}}, out); err != nil {
		t.Fatal(err)
	}
	if len(out.sent) != 3 {
		t.Fatalf("%d entries", len(out.sent))
	}
	for _, m := range out.sent {
		p := ledger.Proof{Index: m.Index, Leaf: m.Leaf, Hashes: m.Hashes, Checkpoint: m.Checkpoint}
		e, err := p.Verify(public)
		if err != nil || e.Header.WarrantID != "w1" || m.Checkpoint != log.Checkpoint() {
			t.Errorf("entry %d: %v, %v", m.Index, e.Header, err)
		}
		if bytes.Contains(m.Leaf, []byte("secret")) || len(e.Body) == 0 {
			t.Errorf("entry %d: body %q", m.Index, e.Body)
		}
		p.Index++
		if _, err := p.Verify(public); err == nil {
			t.Errorf("entry %d proves another index", m.Index)
		}
	}
	if err := s.ExportEntries(&griffierv1.ExportEntriesRequest{}, &exported{ctx: out.ctx}); err != nil {
		t.Errorf("without a filter: %v", err)
	}
}

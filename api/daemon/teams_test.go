package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/reason"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// kept is what team noord has: a warrant, a task of it that was answered, its package,
// its hold and its document.
type kept struct {
	warrantID, taskID, holdID, documentID string
	authority                             string
	content                               *griffierv1.WarrantContent
}

// teams: what is another team's does not exist, on every rpc that takes an id.
func (w *world) teams(bucket time.Time) func(*testing.T) {
	return func(t *testing.T) {
		k := w.preserved(t, bucket)
		t.Run("own", func(t *testing.T) { w.ownTeam(t, k) })
		t.Run("foreign is unknown", func(t *testing.T) { w.foreignIsUnknown(t, k) })
		t.Run("lists", func(t *testing.T) { w.teamLists(t, k) })
		t.Run("a second one of the same order", func(t *testing.T) { w.duplicateOfAnotherTeam(t, k) })
		t.Run("in several teams", func(t *testing.T) { w.severalTeams(t, k) })
		t.Run("given to another team", func(t *testing.T) { w.assigned(t, k) })
	}
}

// preserved lets team noord do all that has an id, from the registry to a hold.
func (w *world) preserved(t *testing.T, bucket time.Time) kept {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%v", reason.From(err))
		}
	}
	_, err := griffierv1.NewRegisterServiceClient(w.machine(t)).PutRange(context.Background(), &griffierv1.PutRangeRequest{Prefix: "100.64.77.0/24",
		ValidFrom: timestamppb.New(time.Now().AddDate(-1, 0, 0)), CollectorIds: []string{"c1"}})
	must(err)
	identity, err := age.GenerateX25519Identity()
	must(err)
	const number = "+31201234567"
	authorities := griffierv1.NewAuthorityServiceClient(w.people)
	k := kept{authority: "NL-OM-Teams"}
	p, err := authorities.ProposeAuthority(w.as(t, "noor"), &griffierv1.ProposeAuthorityRequest{RequestId: uuid.NewString(), Record: &griffierv1.AuthorityRecord{
		Id: k.authority, Name: "Prosecutors", Country: "NL", Offices: []string{"public-prosecutor"}, Bases: []string{"NL-126ni"},
		Categories: []griffierv1.Category{griffierv1.Category_CATEGORY_PRESERVATION}, CallBack: number}, Contact: &griffierv1.AuthorityContact{Name: "the desk"}})
	must(err)
	a, err := authorities.ApproveAuthority(w.as(t, "petra"), &griffierv1.ApproveAuthorityRequest{RequestId: uuid.NewString(), ProposalId: p.GetProposalId(), Sha256: p.GetSha256()})
	must(err)
	a, err = authorities.AddAuthorityKey(w.as(t, "noor"), &griffierv1.AddAuthorityKeyRequest{RequestId: uuid.NewString(), Id: k.authority, ExpectedGeneration: a.GetGeneration(), Key: identity.Recipient().String()})
	must(err)
	_, err = authorities.ConfirmAuthorityKey(w.as(t, "nico"), &griffierv1.ConfirmAuthorityKeyRequest{RequestId: uuid.NewString(), Id: k.authority,
		ExpectedGeneration: a.GetGeneration(), Fingerprint: a.GetKeys()[0].GetFingerprint(), Number: number, SpokeWith: "the desk"})
	must(err)
	letter := []byte("Order to preserve, 126ni Sv.\n")
	sum := sha256.Sum256(letter)
	now := time.Now()
	k.content = &griffierv1.WarrantContent{LegalBasis: "NL-126ni", Authority: k.authority, Reference: "PV 2026-TEAM-1", RequestedBy: "J. de Vries",
		IssuedAt: now.Add(-time.Hour).Format(time.RFC3339), ValidFrom: now.Add(-time.Hour).Format(time.RFC3339), ValidUntil: now.Add(24 * time.Hour).Format(time.RFC3339),
		DocumentSha256: hex.EncodeToString(sum[:]), Categories: []griffierv1.Category{griffierv1.Category_CATEGORY_PRESERVATION}, Targets: []string{secretAddress},
		WindowStart: bucket.Add(-time.Hour).Format(time.RFC3339), WindowEnd: bucket.Add(time.Hour).Format(time.RFC3339), Recipient: identity.Recipient().String()}
	warrants := griffierv1.NewWarrantServiceClient(w.people)
	made, err := warrants.CreateWarrant(w.as(t, "noor"), &griffierv1.CreateWarrantRequest{RequestId: uuid.NewString(), Content: k.content})
	must(err)
	if made.GetTeam() != "noord" {
		t.Fatalf("the warrant is of team %q, want noord", made.GetTeam())
	}
	k.warrantID = made.GetWarrantId()
	upload, err := griffierv1.NewIntakeServiceClient(w.people).UploadDocument(w.as(t, "noor"))
	must(err)
	must(upload.Send(&griffierv1.UploadDocumentRequest{RequestId: uuid.NewString(), WarrantId: k.warrantID, ContentType: "text/plain", Data: letter}))
	document, err := upload.CloseAndRecv()
	must(err)
	k.documentID = document.GetDocumentId()
	_, err = warrants.VerifyWarrant(w.as(t, "noor"), &griffierv1.VerifyWarrantRequest{RequestId: uuid.NewString(), WarrantId: k.warrantID, ExpectedGeneration: 1,
		ContentSha256: made.GetContentSha256(), Number: number, Outcome: griffierv1.CallBackOutcome_CALL_BACK_OUTCOME_CONFIRMED, SpokeWith: "the desk"})
	must(err)
	for _, who := range []string{"noor", "nico"} {
		_, err = warrants.ApproveWarrant(w.as(t, who), &griffierv1.ApproveWarrantRequest{RequestId: uuid.NewString(), WarrantId: k.warrantID, ExpectedGeneration: 1, ContentSha256: made.GetContentSha256()})
		must(err)
	}
	tasks := griffierv1.NewDisclosureServiceClient(w.people)
	task, err := tasks.CreateTask(w.as(t, "noor"), &griffierv1.CreateTaskRequest{RequestId: uuid.NewString(), WarrantId: k.warrantID, ExpectedGeneration: 1,
		Category: griffierv1.Category_CATEGORY_PRESERVATION, Target: secretAddress, Instant: bucket.Add(time.Minute).UTC().Format(time.RFC3339)})
	must(err)
	k.taskID = task.GetTaskId()
	task, err = tasks.ExecuteTask(w.as(t, "noor"), &griffierv1.ExecuteTaskRequest{RequestId: uuid.NewString(), TaskId: k.taskID, ExpectedGeneration: 1})
	must(err)
	if task.GetHoldId() == "" {
		holds, err := griffierv1.NewHoldServiceClient(w.people).ListHolds(w.as(t, "noor"), &griffierv1.ListHoldsRequest{})
		must(err)
		for _, h := range holds.GetHolds() {
			if h.GetTaskId() == k.taskID {
				task.HoldId = h.GetHoldId()
			}
		}
	}
	if k.holdID = task.GetHoldId(); k.holdID == "" {
		t.Fatalf("no hold was made: %v", task)
	}
	return k
}

func (w *world) ownTeam(t *testing.T, k kept) {
	for _, who := range []string{"noor", "nico"} {
		if m, err := griffierv1.NewWarrantServiceClient(w.people).GetWarrant(w.as(t, who), &griffierv1.GetWarrantRequest{WarrantId: k.warrantID}); err != nil || len(m.GetContent().GetTargets()) != 1 {
			t.Errorf("%s reads the warrant of their own team: %v, %v", who, m, err)
		}
		if _, err := griffierv1.NewDisclosureServiceClient(w.people).GetTask(w.as(t, who), &griffierv1.GetTaskRequest{TaskId: k.taskID}); err != nil {
			t.Errorf("%s reads the task: %v", who, err)
		}
		if _, err := griffierv1.NewHoldServiceClient(w.people).GetHold(w.as(t, who), &griffierv1.GetHoldRequest{HoldId: k.holdID}); err != nil {
			t.Errorf("%s reads the hold: %v", who, err)
		}
	}
	// The overseer sees every team's.
	if _, err := griffierv1.NewWarrantServiceClient(w.people).GetWarrant(w.as(t, "dina"), &griffierv1.GetWarrantRequest{WarrantId: k.warrantID}); err != nil {
		t.Errorf("the overseer reads the warrant: %v", err)
	}
}

// idField finds fields that may name something of a warrant.
var idField = regexp.MustCompile(`warrant|task|hold|document_id|package`)

// elsewhere are those that need no look by the gate, and why.
var elsewhere = map[string]string{
	"document_id": "named beside its warrant",
	"from_hold":   "looked up when the task runs",
	"hold_days":   "is a number of days",
}

// strangers are people of another team, or of none, for every role that is bound to one.
var strangers = map[griffierv1.Role][]string{
	griffierv1.Role_ROLE_LEGAL_OFFICER:     {"zara", "olga"},
	griffierv1.Role_ROLE_LEGAL_APPROVER:    {"zeno", "arjan"},
	griffierv1.Role_ROLE_EXTERNAL_APPROVER: {"ezra"},
}

// foreignIsUnknown calls every rpc whose request names a warrant, task, hold or
// document, with one of another team and with one that does not exist, and wants the
// two answers to be the same bytes; with nothing else in the request, and with
// everything filled in.
func (w *world) foreignIsUnknown(t *testing.T, k kept) {
	foreign := map[protoreflect.Name]string{"warrant_id": k.warrantID, "task_id": k.taskID, "corrects_task_id": k.taskID, "hold_id": k.holdID}
	if len(foreign) != len(warrantrpc.Named) {
		t.Fatalf("%d fields are tried, want all %d", len(foreign), len(warrantrpc.Named))
	}
	seen, tried := map[protoreflect.Name]int{}, 0
	protoregistry.GlobalFiles.RangeFilesByPackage("griffier.v1", func(fd protoreflect.FileDescriptor) bool {
		for i := range fd.Services().Len() {
			for j := range fd.Services().Get(i).Methods().Len() {
				method := fd.Services().Get(i).Methods().Get(j)
				rule := proto.GetExtension(method.Options().(*descriptorpb.MethodOptions), griffierv1.E_Access).(*griffierv1.Access)
				bound := false
				for _, role := range rule.GetRoles() {
					bound = bound || len(strangers[role]) > 0
				}
				fields := method.Input().Fields()
				for f := range fields.Len() {
					name := fields.Get(f).Name()
					if foreign[name] == "" {
						if bound && idField.MatchString(string(name)) && elsewhere[string(name)] == "" {
							t.Errorf("%s.%s names something of a warrant, and nobody asks whose it is: add it to warrantrpc.Named", method.Input().Name(), name)
						}
						continue
					}
					for _, role := range rule.GetRoles() {
						for n, filled := range []bool{false, true} {
							if len(strangers[role]) == 0 {
								continue
							}
							seen[name]++
							tried++
							who := strangers[role][(tried+n)%len(strangers[role])]
							w.sameAnswer(t, method, fields.Get(f), who, foreign[name], k.documentID, filled)
						}
					}
				}
			}
		}
		return true
	})
	for name := range foreign {
		if seen[name] == 0 {
			t.Errorf("no rpc was tried with %s", name)
		}
	}
	if tried < 80 {
		t.Errorf("tried %d calls, want every rpc", tried)
	}
}

func (w *world) sameAnswer(t *testing.T, method protoreflect.MethodDescriptor, field protoreflect.FieldDescriptor, who, foreign, documentID string, filled bool) {
	t.Helper()
	answer := func(id string) []byte {
		req := dynamicpb.NewMessage(method.Input())
		if filled {
			fill(req)
			if d := method.Input().Fields().ByName("document_id"); d != nil {
				req.Set(d, protoreflect.ValueOfString(documentID))
			}
			for name := range warrantrpc.Named { // the one that is tried decides
				if other := method.Input().Fields().ByName(name); other != nil {
					req.Clear(other)
				}
			}
		}
		req.Set(field, protoreflect.ValueOfString(id))
		err := untilAllowed(func() error { return w.send(w.as(t, who), method, req) }) // for the streams
		if reason.Of(err) != reason.NotFound {
			t.Errorf("%s as %s with %s %q, filled %v: %v, want NOT_FOUND", method.FullName(), who, field.Name(), id, filled, err)
		}
		bytes, mErr := proto.MarshalOptions{Deterministic: true}.Marshal(status.Convert(err).Proto())
		if mErr != nil {
			t.Fatal(mErr)
		}
		return bytes
	}
	if a, b := answer(foreign), answer(strings.Repeat("0", 32)); string(a) != string(b) {
		t.Errorf("%s as %s: another team's %s answers %q, an unknown one %q", method.FullName(), who, field.Name(), a, b)
	}
}

// fill gives every scalar field a value that has its form.
func fill(m *dynamicpb.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.IsList() || f.IsMap() {
			continue
		}
		switch f.Kind() {
		case protoreflect.StringKind:
			text := strings.Repeat("ab", 32)
			if f.Name() == "request_id" {
				text = uuid.NewString()
			}
			m.Set(f, protoreflect.ValueOfString(text))
		case protoreflect.Uint64Kind:
			m.Set(f, protoreflect.ValueOfUint64(1))
		case protoreflect.Uint32Kind:
			m.Set(f, protoreflect.ValueOfUint32(1))
		case protoreflect.EnumKind:
			m.Set(f, protoreflect.ValueOfEnum(1))
		}
	}
}

// send calls a method with one request.
func (w *world) send(ctx context.Context, m protoreflect.MethodDescriptor, req *dynamicpb.Message) error {
	full, resp := "/"+string(m.Parent().FullName())+"/"+string(m.Name()), dynamicpb.NewMessage(m.Output())
	if !m.IsStreamingServer() && !m.IsStreamingClient() {
		return w.people.Invoke(ctx, full, req, resp)
	}
	stream, err := w.people.NewStream(ctx, &grpc.StreamDesc{ServerStreams: m.IsStreamingServer(), ClientStreams: m.IsStreamingClient()}, full)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(req); err != nil {
		return err
	}
	stream.CloseSend()
	return stream.RecvMsg(resp)
}

// teamLists: lists have no other team's, and neither has the proof of an entry.
func (w *world) teamLists(t *testing.T, k kept) {
	over, holds := griffierv1.NewOversightServiceClient(w.people), griffierv1.NewHoldServiceClient(w.people)
	if _, err := over.RecordCost(w.as(t, "noor"), &griffierv1.RecordCostRequest{RequestId: uuid.NewString(), WarrantId: k.warrantID, Minutes: 10, Tariff: "T1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := over.RecordNonExecution(w.as(t, "noor"), &griffierv1.RecordNonExecutionRequest{RequestId: uuid.NewString(), WarrantId: k.warrantID,
		Reason: griffierv1.NonExecutionReason_NON_EXECUTION_REASON_INCOMPLETE}); err != nil {
		t.Fatal(err)
	}
	hold, err := holds.GetHold(w.as(t, "noor"), &griffierv1.GetHoldRequest{HoldId: k.holdID})
	if err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string]int{"noor": 1, "zara": 0, "olga": 0, "dina": 1} {
		warrants, err := griffierv1.NewWarrantServiceClient(w.people).ListWarrants(w.as(t, who), &griffierv1.ListWarrantsRequest{})
		if err != nil || len(warrants.GetWarrants()) != want {
			t.Errorf("%s lists %d warrants, %v; want %d", who, len(warrants.GetWarrants()), err, want)
		}
		kept, err := holds.ListHolds(w.as(t, who), &griffierv1.ListHoldsRequest{})
		if err != nil || len(kept.GetHolds()) != want {
			t.Errorf("%s lists %d holds, %v; want %d", who, len(kept.GetHolds()), err, want)
		}
		declined, err := over.ListNonExecutions(w.as(t, who), &griffierv1.ListNonExecutionsRequest{})
		if err != nil || len(declined.GetNonExecutions()) != want {
			t.Errorf("%s lists %d non-executions, %v; want %d", who, len(declined.GetNonExecutions()), err, want)
		}
		costs, err := over.ListCosts(w.as(t, who), &griffierv1.ListCostsRequest{Start: timestamppb.New(time.Now().Add(-time.Hour)), End: timestamppb.New(time.Now().Add(time.Hour))})
		if err != nil || len(costs.GetCosts()) != want {
			t.Errorf("%s lists %d costs, %v; want %d", who, len(costs.GetCosts()), err, want)
		}
		_, err = griffierv1.NewLedgerServiceClient(w.people).GetProof(w.as(t, who), &griffierv1.GetProofRequest{Index: hold.GetLedgerIndex()})
		if got := reason.Of(err); want == 1 && got != "" || want == 0 && got != reason.NotFound {
			t.Errorf("%s has the entry of the hold proved: %v", who, err)
		}
	}
	_, foreign := griffierv1.NewLedgerServiceClient(w.people).GetProof(w.as(t, "zara"), &griffierv1.GetProofRequest{Index: hold.GetLedgerIndex()})
	_, unknown := griffierv1.NewLedgerServiceClient(w.people).GetProof(w.as(t, "zara"), &griffierv1.GetProofRequest{Index: 1 << 40})
	if !proto.Equal(status.Convert(foreign).Proto(), status.Convert(unknown).Proto()) {
		t.Errorf("another team's entry answers %v, one that is not there %v", foreign, unknown)
	}
}

func (w *world) duplicateOfAnotherTeam(t *testing.T, k kept) {
	warrants := griffierv1.NewWarrantServiceClient(w.people)
	_, err := warrants.CreateWarrant(w.as(t, "noor"), &griffierv1.CreateWarrantRequest{RequestId: uuid.NewString(), Content: k.content})
	if reason.Of(err) != reason.DuplicateWarrant || !strings.Contains(err.Error(), k.warrantID) {
		t.Errorf("a duplicate in the own team: %v, want its id", err)
	}
	_, err = warrants.CreateWarrant(w.as(t, "zara"), &griffierv1.CreateWarrantRequest{RequestId: uuid.NewString(), Content: k.content})
	if reason.Of(err) != reason.DuplicateWarrant || strings.Contains(err.Error(), k.warrantID) {
		t.Errorf("a duplicate in another team: %v, want a refusal that tells no id", err)
	}
}

func (w *world) severalTeams(t *testing.T, k kept) {
	warrants := griffierv1.NewWarrantServiceClient(w.people)
	create := func(team string) error {
		content := proto.Clone(k.content).(*griffierv1.WarrantContent)
		content.Reference = "PV 2026-TEAM-2"
		_, err := warrants.CreateWarrant(w.as(t, "noor"), &griffierv1.CreateWarrantRequest{RequestId: uuid.NewString(), Content: content, Team: team, ValidateOnly: true})
		return err
	}
	wantReason(t, "for another team", create("zuid"), reason.InvalidRequest)
	wantReason(t, "for a team with no form of a name", create("Noord; DROP"), reason.InvalidRequest)
	if err := create("noord"); err != nil {
		t.Errorf("for the own team, by name: %v", err)
	}
}

// assigned: the privacy controller gives the warrant to the other team, and from then on
// it is theirs and nobody else's.
func (w *world) assigned(t *testing.T, k kept) {
	warrants := griffierv1.NewWarrantServiceClient(w.people)
	assign := &griffierv1.AssignWarrantRequest{RequestId: uuid.NewString(), WarrantId: k.warrantID, Team: "zuid"}
	_, err := warrants.AssignWarrant(w.as(t, "petra"), assign)
	wantReason(t, "without a reason", err, reason.InvalidRequest)
	assign.Explanation = "The officers of noord are ill."
	_, err = warrants.AssignWarrant(w.as(t, "noor"), assign)
	wantReason(t, "as an officer", err, reason.PermissionDenied)
	m, err := warrants.AssignWarrant(w.as(t, "petra"), assign)
	if err != nil || m.GetTeam() != "zuid" {
		t.Fatalf("assign: %v, %v", m, err)
	}
	again, err := warrants.AssignWarrant(w.as(t, "petra"), assign)
	if err != nil || again.GetLedgerIndex() != m.GetLedgerIndex() {
		t.Errorf("the same request again: %v, %v", again, err)
	}
	assign.RequestId = uuid.NewString()
	_, err = warrants.AssignWarrant(w.as(t, "petra"), assign)
	wantReason(t, "to the team that has it", err, reason.WarrantTerminal)
	_, err = warrants.GetWarrant(w.as(t, "noor"), &griffierv1.GetWarrantRequest{WarrantId: k.warrantID})
	wantReason(t, "its former team", err, reason.NotFound)
	got, err := warrants.GetWarrant(w.as(t, "zara"), &griffierv1.GetWarrantRequest{WarrantId: k.warrantID})
	if err != nil || got.GetTeam() != "zuid" || got.GetState() != griffierv1.WarrantState_WARRANT_STATE_APPROVED {
		t.Errorf("its new team: %v, %v; want it approved as it was", got, err)
	}
}

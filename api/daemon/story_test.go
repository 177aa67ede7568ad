package daemon

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

func mustPrefix(t *testing.T, address string) netip.Prefix {
	t.Helper()
	a, err := netip.ParseAddr(address)
	if err != nil {
		t.Fatal(err)
	}
	return netip.PrefixFrom(a, a.BitLen())
}

// TestGriffierd runs one griffierd and looks at it from every side; the parts
// share it because one process can own one engine.
func TestGriffierd(t *testing.T) {
	w := start(t)
	w.provision(t, "L-anna", "acc-anna", secretUser)
	w.provision(t, "L-bea", "acc-bea", "bea@isp.example")
	bucket := w.insert(t, secretUser, secretAddress, 12345)

	t.Run("customer sees their own line", w.ownLine(bucket))
	t.Run("foreign line is like an unknown one", w.foreignLine(bucket))
	t.Run("support", w.supportLooksUp(bucket))
	t.Run("every rpc and role", w.matrix)
	t.Run("credentials", w.credentials(bucket))
	t.Run("step-up", w.stepUp)
	t.Run("teams", w.teams(bucket))
	t.Run("a collector enrols, renews and is revoked", w.collector)
	t.Run("no personal data in the clear", w.nothingInTheClear)
	t.Run("no reflection", w.noReflection)
	t.Run("the operator's machine", w.operatorsMachine)
	t.Run("too large for the ledger", w.tooLargeForTheLedger)
	t.Run("no ledger, no answer", w.noLedgerNoAnswer(bucket))
}

func (w *world) ownLine(bucket time.Time) func(*testing.T) {
	return func(t *testing.T) {
		c := griffierv1.NewUsageServiceClient(w.people)
		lines, err := c.ListLines(w.as(t, "anna"), &griffierv1.ListLinesRequest{})
		if err != nil || len(lines.GetLines()) != 1 || lines.GetLines()[0].GetLineId() != "L-anna" {
			t.Fatalf("lines = %v, %v; want L-anna", lines, err)
		}
		totals, err := c.GetTotals(w.as(t, "anna"), &griffierv1.GetTotalsRequest{LineId: "L-anna", Window: window(bucket)})
		if err != nil {
			t.Fatal(err)
		}
		if totals.GetTotal().GetBytesUp() != 12345 || totals.GetIpv6().GetBytesUp() != 0 || len(totals.GetGaps()) != 0 {
			t.Errorf("totals = %v, want 12345 bytes up, all IPv4, no gap", totals)
		}
		got, err := c.ListSessions(w.as(t, "anna"), &griffierv1.ListSessionsRequest{LineId: "L-anna", Window: window(bucket)})
		if err != nil || len(got.GetSessions()) != 1 || got.GetSessions()[0].GetAddresses()[0].GetPrefix() != secretAddress+"/32" {
			t.Errorf("sessions = %v, %v; want one with the address", got, err)
		}
		wide := &griffierv1.Window{Start: timestamppb.New(bucket.Add(-time.Hour)), End: timestamppb.New(bucket.Add(5 * time.Minute))}
		totals, err = c.GetTotals(w.as(t, "anna"), &griffierv1.GetTotalsRequest{LineId: "L-anna", Window: wide})
		if err != nil || len(totals.GetGaps()) != 1 {
			t.Errorf("totals over an uncovered hour = %v, %v; want one gap", totals, err)
		}
	}
}

func (w *world) foreignLine(bucket time.Time) func(*testing.T) {
	return func(t *testing.T) {
		c := griffierv1.NewUsageServiceClient(w.people)
		_, foreign := c.GetTotals(w.as(t, "bea"), &griffierv1.GetTotalsRequest{LineId: "L-anna", Window: window(bucket)})
		_, unknown := c.GetTotals(w.as(t, "bea"), &griffierv1.GetTotalsRequest{LineId: "L-nobody", Window: window(bucket)})
		wantReason(t, "foreign", foreign, reason.NotFound)
		if foreign.Error() != unknown.Error() {
			t.Errorf("foreign and unknown differ: %v, %v", foreign, unknown)
		}
		_, err := c.CreateSupportCode(w.as(t, "bea"), &griffierv1.CreateSupportCodeRequest{LineId: "L-anna"})
		wantReason(t, "code for a foreign line", err, reason.NotFound)
	}
}

func (w *world) supportLooksUp(bucket time.Time) func(*testing.T) {
	return func(t *testing.T) {
		code, err := griffierv1.NewUsageServiceClient(w.people).CreateSupportCode(w.as(t, "anna"), &griffierv1.CreateSupportCodeRequest{LineId: "L-anna"})
		if err != nil {
			t.Fatal(err)
		}
		c := griffierv1.NewSupportServiceClient(w.people)
		req := &griffierv1.LookUpLineRequest{Ticket: "T-1", Code: code.GetCode(), Window: window(bucket),
			Purpose: griffierv1.SupportPurpose_SUPPORT_PURPOSE_COMPLAINT}
		resp, err := c.LookUpLine(w.as(t, "sam"), req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetTotal().GetBytesUp() != 12345 || len(resp.GetSessions()) != 1 {
			t.Errorf("look-up = %v, want 12345 bytes up in one session", resp)
		}
		if got := resp.GetSessions()[0].GetAddresses()[0].GetPrefix(); got != "100.64.77.0/24" {
			t.Errorf("address shown as %s, want it masked to its /24", got)
		}
		other := proto.Clone(req).(*griffierv1.LookUpLineRequest)
		other.Ticket = "T-2"
		_, err = c.LookUpLine(w.as(t, "sam"), other)
		wantReason(t, "code of another ticket", err, reason.CodeInvalid)
		_, err = c.LookUpLine(w.as(t, "sofie"), req)
		wantReason(t, "own line", err, reason.ConflictOfInterest)
		old := proto.Clone(req).(*griffierv1.LookUpLineRequest)
		old.Window.Start = timestamppb.New(time.Now().Add(-15 * 24 * time.Hour))
		old.Purpose = 0
		_, err = c.LookUpLine(w.as(t, "sam"), old)
		wantReason(t, "old window, no purpose", err, reason.InvalidRequest)
		if n := len(reason.From(err).Violations); n != 2 {
			t.Errorf("violations = %v, want both at once", reason.From(err).Violations)
		}
		wrong := proto.Clone(req).(*griffierv1.LookUpLineRequest)
		wrong.Code = "00000000"
		for i := 1; i < 5; i++ { // with the other ticket above, five
			_, err = c.LookUpLine(w.as(t, "sam"), wrong)
			wantReason(t, "wrong code", err, reason.CodeInvalid)
		}
		_, err = c.LookUpLine(w.as(t, "sam"), req)
		wantReason(t, "after five wrong codes", err, reason.RateLimited)
	}
}

// matrix calls every rpc as every role and compares with the declared rule.
func (w *world) matrix(t *testing.T) {
	roles := map[string]griffierv1.Role{
		"anna": griffierv1.Role_ROLE_CUSTOMER, "sam": griffierv1.Role_ROLE_SUPPORT, "olga": griffierv1.Role_ROLE_LEGAL_OFFICER,
		"arjan": griffierv1.Role_ROLE_LEGAL_APPROVER, "dina": griffierv1.Role_ROLE_OVERSEER, "nina": griffierv1.Role_ROLE_NETWORK_ENGINEER,
		"otto": griffierv1.Role_ROLE_OPERATOR, "petra": griffierv1.Role_ROLE_PRIVACY_CONTROLLER, "eva": griffierv1.Role_ROLE_EXTERNAL_APPROVER, "nobody": griffierv1.Role_ROLE_UNSPECIFIED,
	}
	count := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("griffier.v1", func(fd protoreflect.FileDescriptor) bool {
		for i := range fd.Services().Len() {
			service := fd.Services().Get(i)
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				rule := proto.GetExtension(method.Options().(*descriptorpb.MethodOptions), griffierv1.E_Access).(*griffierv1.Access)
				strangers := 0
				for who, role := range roles {
					if rule.GetRoles()[0] == griffierv1.Role_ROLE_ANYONE {
						if strangers++; strangers > 2 {
							continue // how often these may be tried from one place is bounded
						}
					}
					allowed := false
					for _, r := range rule.GetRoles() {
						allowed = allowed || r == role
					}
					denied := reason.Of(w.invoke(w.as(t, who), method)) == reason.PermissionDenied
					if rule.GetRoles()[0] == griffierv1.Role_ROLE_ANYONE {
						allowed = true
					}
					if denied == allowed {
						t.Errorf("%s as %s: denied = %v, rule allows = %v", method.FullName(), who, denied, allowed)
					}
					count++
				}
				err := w.invoke(context.Background(), method)
				if open := rule.GetRoles()[0] == griffierv1.Role_ROLE_ANYONE; (reason.Of(err) != reason.Unauthenticated) != open {
					t.Errorf("%s without credentials: %v, want UNAUTHENTICATED", method.FullName(), err)
				}
			}
		}
		return true
	})
	if count < 25*7 {
		t.Errorf("tried %d calls, want every rpc", count)
	}
}

// invoke calls a method with an empty request.
func (w *world) invoke(ctx context.Context, m protoreflect.MethodDescriptor) error {
	return untilAllowed(func() error { return w.send(ctx, m, dynamicpb.NewMessage(m.Input())) })
}

func (w *world) credentials(bucket time.Time) func(*testing.T) {
	return func(t *testing.T) {
		c := griffierv1.NewUsageServiceClient(w.people)
		for name, header := range map[string]string{
			"garbage":   "Bearer garbage",
			"no scheme": "garbage",
			"too long":  "Bearer " + strings.Repeat("x", 20<<10),
		} {
			ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", header)
			_, err := c.ListLines(ctx, &griffierv1.ListLinesRequest{})
			wantReason(t, name, err, reason.Unauthenticated)
		}
		// A machine is no person, and a bad token is not rescued by a certificate.
		machine := griffierv1.NewUsageServiceClient(w.machine(t))
		_, err := machine.ListLines(context.Background(), &griffierv1.ListLinesRequest{})
		wantReason(t, "machine as customer", err, reason.PermissionDenied)
		bad := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer garbage")
		_, err = machine.ListLines(bad, &griffierv1.ListLinesRequest{})
		wantReason(t, "machine with a bad token", err, reason.Unauthenticated)
		// A person is no machine.
		_, err = griffierv1.NewRegisterServiceClient(w.people).PutRange(w.as(t, "olga"), &griffierv1.PutRangeRequest{})
		wantReason(t, "person as provisioner", err, reason.PermissionDenied)
	}
}

func (w *world) stepUp(t *testing.T) {
	c := griffierv1.NewWarrantServiceClient(w.people)
	_, err := c.ApproveWarrant(w.asOf(t, "olga", time.Now().Add(-6*time.Minute)), &griffierv1.ApproveWarrantRequest{})
	wantReason(t, "log-in of six minutes ago", err, reason.StepUpRequired)
	_, err = c.ApproveWarrant(w.asOf(t, "olga", time.Now().Add(time.Hour)), &griffierv1.ApproveWarrantRequest{})
	wantReason(t, "log-in in the future", err, reason.StepUpRequired)
	if _, err = c.ApproveWarrant(w.as(t, "olga"), &griffierv1.ApproveWarrantRequest{}); reason.Of(err) == reason.StepUpRequired {
		t.Errorf("fresh log-in: %v", err)
	}
}

// nothingInTheClear looks for what the tests put in, in everything that was
// written outside the store's own encrypted or pseudonymous columns.
func (w *world) nothingInTheClear(t *testing.T) {
	for _, secret := range []string{secretName, secretStreet, secretUser, secretAddress} {
		if strings.Contains(w.logs.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
		for _, place := range []string{w.cfg.Ledger.Dir, w.cfg.Keys.Dir, filepath.Dir(w.cfg.Ledger.WitnessFile)} {
			n := 0
			filepath.WalkDir(place, func(path string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return nil
				}
				n++
				if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), secret) {
					t.Errorf("%q is in %s", secret, path)
				}
				return nil
			})
			if n == 0 {
				t.Errorf("%s holds no file: nothing was looked at", place)
			}
		}
	}
	if !strings.Contains(w.logs.String(), "ledger open") {
		t.Error("the log is empty: nothing was looked at")
	}
}

func (w *world) noReflection(t *testing.T) {
	err := w.people.Invoke(w.as(t, "dina"), "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &griffierv1.ListLinesRequest{}, &griffierv1.ListLinesResponse{})
	if err == nil || !strings.Contains(err.Error(), "unknown service") {
		t.Errorf("reflection: %v, want an unknown service", err)
	}
}

// noLedgerNoAnswer makes the ledger's tiles impossible to write, as a full or
// failing disk does, and wants staff reads to stop until it is mended.
func (w *world) noLedgerNoAnswer(bucket time.Time) func(*testing.T) {
	return func(t *testing.T) {
		c := griffierv1.NewLedgerServiceClient(w.people)
		if _, err := c.GetCheckpoint(w.as(t, "dina"), &griffierv1.GetCheckpointRequest{}); err != nil {
			t.Fatal(err)
		}
		chattr(t, "+i", w.cfg.Ledger.Dir)
		t.Cleanup(func() { chattr(t, "-i", w.cfg.Ledger.Dir) })
		resp, err := c.GetCheckpoint(w.as(t, "dina"), &griffierv1.GetCheckpointRequest{})
		if got := reason.Of(err); got != reason.LedgerUnavailable && got != reason.UnknownOutcome {
			t.Errorf("without a ledger: %v, %v; want LEDGER_UNAVAILABLE or UNKNOWN_OUTCOME", resp, err)
		}
		_, err = griffierv1.NewUsageServiceClient(w.people).CreateSupportCode(w.as(t, "anna"), &griffierv1.CreateSupportCodeRequest{LineId: "L-anna"})
		if got := reason.Of(err); got != reason.LedgerUnavailable && got != reason.UnknownOutcome {
			t.Errorf("a decision without a ledger: %v; want LEDGER_UNAVAILABLE or UNKNOWN_OUTCOME", err)
		}
		// A customer's own figures do not hang on it: their trace is the access log.
		if _, err := griffierv1.NewUsageServiceClient(w.people).GetTotals(w.as(t, "anna"), &griffierv1.GetTotalsRequest{LineId: "L-anna", Window: window(bucket)}); err != nil {
			t.Errorf("own usage without a ledger: %v", err)
		}
		chattr(t, "-i", w.cfg.Ledger.Dir)
		for range 1200 {
			if _, err = c.GetCheckpoint(w.as(t, "dina"), &griffierv1.GetCheckpointRequest{}); err == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Errorf("after the disk is mended: %v", err)
	}
}

// chattr makes the ledger's tile folders immutable, or mutable again.
func chattr(t *testing.T, flag, dir string) {
	t.Helper()
	if out, err := exec.Command("chattr", "-R", flag, filepath.Join(dir, "tile")).CombinedOutput(); err != nil {
		t.Fatalf("chattr: %v: %s", err, out)
	}
}

package reason_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"griffier/api/reason"
)

var update = flag.Bool("update", false, "rewrite REASONS.md")

func TestReasonsMarkdown(t *testing.T) {
	want := reason.Markdown()
	if *update {
		if err := os.WriteFile("REASONS.md", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("REASONS.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("REASONS.md differs from the catalogue; run `go test ./api/reason -update`")
	}
}

// Every constant is in the catalogue once, and every entry has a constant.
func TestCatalogueComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constants := map[reason.Reason]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Type == nil {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != "Reason" {
			return true
		}
		for _, v := range spec.Values {
			s, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			constants[reason.Reason(s)] = true
		}
		return true
	})
	name := regexp.MustCompile(`^[A-Z][A-Z_]*[A-Z]$`) // google.rpc.ErrorInfo.reason
	seen := map[reason.Reason]bool{}
	for _, e := range reason.Catalogue {
		if seen[e.Reason] {
			t.Errorf("%s stands twice in the catalogue", e.Reason)
		}
		seen[e.Reason] = true
		if !constants[e.Reason] {
			t.Errorf("%s has no constant", e.Reason)
		}
		if !name.MatchString(string(e.Reason)) || len(e.Reason) > 63 {
			t.Errorf("%q is not a valid ErrorInfo reason", e.Reason)
		}
		if e.Meaning == "" || e.Cure == "" || strings.ContainsAny(e.Meaning+e.Cure, "|\n") {
			t.Errorf("%s: meaning and cure must be one line of text", e.Reason)
		}
		if (e.Code == codes.OK) != (e.Reason == reason.Match || e.Reason == reason.Preserved) {
			t.Errorf("%s has code %v: only MATCH and PRESERVED succeed", e.Reason, e.Code)
		}
		if e.Code == codes.Unknown {
			t.Errorf("%s has no code", e.Reason)
		}
		if e.Group == reason.Refusals && e.Exit == reason.ExitOK {
			t.Errorf("%s is a refusal with exit 0", e.Reason)
		}
	}
	for r := range constants {
		if !seen[r] {
			t.Errorf("%s is not in the catalogue", r)
		}
	}
}

func TestToStatus(t *testing.T) {
	in := fmt.Errorf("create warrant: %w", &reason.Error{
		Reason: reason.WarrantIncomplete, Detail: "3 items.",
		Violations: []reason.Violation{{Field: "content.reference", Description: "is missing"}},
		Cause:      errors.New("secret inside"),
	})
	err := reason.ToStatus(in)
	st, ok := status.FromError(err)
	if !ok || st.Code() != codes.InvalidArgument {
		t.Fatalf("ToStatus = %v, want InvalidArgument", err)
	}
	if strings.Contains(st.String(), "secret") {
		t.Errorf("status shows the cause: %v", st)
	}
	var info *errdetails.ErrorInfo
	for _, d := range st.Details() {
		if d, ok := d.(*errdetails.ErrorInfo); ok {
			info = d
		}
	}
	if info.GetDomain() != "griffier" || info.GetReason() != "WARRANT_INCOMPLETE" || info.GetMetadata()["cure"] == "" {
		t.Errorf("ErrorInfo = %v", info)
	}
	back := reason.From(err)
	if back == nil || back.Reason != reason.WarrantIncomplete || back.Detail != "3 items." || len(back.Violations) != 1 ||
		back.Violations[0] != (reason.Violation{Field: "content.reference", Description: "is missing"}) {
		t.Errorf("From(ToStatus(err)) = %#v", back)
	}
}

func TestToStatusOfOthers(t *testing.T) {
	foreign := status.Error(codes.DataLoss, "as it was")
	tests := []struct {
		name   string
		err    error
		code   codes.Code
		reason reason.Reason
		exit   reason.Exit
	}{
		{"nil", nil, codes.OK, "", reason.ExitOK},
		{"unknown error", errors.New("dial 192.0.2.1: refused"), codes.Internal, reason.Internal, reason.ExitFailed},
		{"cancelled", fmt.Errorf("query: %w", context.Canceled), codes.Canceled, "", reason.ExitFailed},
		{"deadline", context.DeadlineExceeded, codes.DeadlineExceeded, "", reason.ExitRetry},
		{"foreign status", foreign, codes.DataLoss, "", reason.ExitFailed},
		{"not in the catalogue", reason.New("MADE_UP", "detail"), codes.Internal, reason.Internal, reason.ExitFailed},
		{"an answer is never a success as error", reason.New(reason.Match, ""), codes.Internal, reason.Match, reason.ExitFailed},
		{"denied", reason.New(reason.SelfApproval, ""), codes.PermissionDenied, reason.SelfApproval, reason.ExitDenied},
		{"expired", reason.New(reason.WarrantExpired, ""), codes.FailedPrecondition, reason.WarrantExpired, reason.ExitNotCovered},
		{"retry", reason.New(reason.UnknownOutcome, ""), codes.Unavailable, reason.UnknownOutcome, reason.ExitRetry},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := reason.ToStatus(test.err)
			if status.Code(got) != test.code || reason.Of(got) != test.reason || reason.ExitOf(got) != test.exit {
				t.Errorf("ToStatus = %v, reason %q, exit %d; want %v, %q, %d", got, reason.Of(got), reason.ExitOf(got),
					test.code, test.reason, test.exit)
			}
			if got != nil && strings.Contains(got.Error(), "192.0.2.1") {
				t.Errorf("status leaks an address: %v", got)
			}
		})
	}
	if !errors.Is(reason.New(reason.NotFound, "x"), reason.New(reason.NotFound, "")) {
		t.Error("errors.Is does not compare reasons")
	}
}

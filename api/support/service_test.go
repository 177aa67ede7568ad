package support

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

func TestCheck(t *testing.T) {
	now := time.Date(2026, 3, 20, 12, 2, 0, 0, time.UTC)
	s := NewService(nil, nil, nil, func() time.Time { return now })
	request := func(change func(r *griffierv1.LookUpLineRequest)) *griffierv1.LookUpLineRequest {
		r := &griffierv1.LookUpLineRequest{Ticket: "INC-2026/0042.a", Code: "01234567", Purpose: griffierv1.SupportPurpose_SUPPORT_PURPOSE_DATA_LIMIT,
			Window: &griffierv1.Window{Start: timestamppb.New(now.Add(-ComplaintWindow)), End: timestamppb.New(now)}}
		change(r)
		return r
	}
	for name, c := range map[string]struct {
		change func(r *griffierv1.LookUpLineRequest)
		want   []string
	}{
		"good":            {func(*griffierv1.LookUpLineRequest) {}, nil},
		"nothing":         {func(r *griffierv1.LookUpLineRequest) { proto.Reset(r) }, []string{"ticket", "code", "purpose", "window.start", "window.end"}},
		"ticket":          {func(r *griffierv1.LookUpLineRequest) { r.Ticket = "T 1; Zwanikken" }, []string{"ticket"}},
		"code of 7":       {func(r *griffierv1.LookUpLineRequest) { r.Code = "0123456" }, []string{"code"}},
		"code in letters": {func(r *griffierv1.LookUpLineRequest) { r.Code = "0123456a" }, []string{"code"}},
		"arabic digits":   {func(r *griffierv1.LookUpLineRequest) { r.Code = "٠١٢٣٤٥٦٧" }, []string{"code"}},
		"a new line":      {func(r *griffierv1.LookUpLineRequest) { r.Code = "01234567\n" }, []string{"code"}},
		"no purpose":      {func(r *griffierv1.LookUpLineRequest) { r.Purpose = 0 }, []string{"purpose"}},
		"unknown purpose": {func(r *griffierv1.LookUpLineRequest) { r.Purpose = 99 }, []string{"purpose"}},
		"too far back":    {func(r *griffierv1.LookUpLineRequest) { r.Window.Start = timestamppb.New(now.Add(-ComplaintWindow - 1)) }, []string{"window.start"}},
		"a year":          {func(r *griffierv1.LookUpLineRequest) { r.Window.Start = timestamppb.New(now.AddDate(-1, 0, 0)) }, []string{"window"}},
	} {
		w, err := s.check(request(c.change))
		var got []string
		if refused := reason.From(err); refused != nil {
			for _, v := range refused.Violations {
				got = append(got, v.Field)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: violations of %v, want %v", name, got, c.want)
		}
		if err == nil && w.Buckets() != w {
			t.Errorf("%s: %v is not whole buckets", name, w)
		}
	}
}

package warrant_test

import (
	"strings"
	"testing"

	"griffier/api/reason"
	"griffier/api/warrant"
)

// Preservation and reading are apart: a basis for the one has no task of the other,
// and what belongs to the one is refused in the other.
func TestPreservationTasks(t *testing.T) {
	r, b := testRules(t), newBook(t)
	warrantOf := func(id, basis string, categories ...warrant.Category) warrant.Content {
		c := testContent()
		c.Reference, c.LegalBasis, c.Categories = "PV-2026/"+id, basis, categories
		d, err := r.Create(b.state, start, officer, warrant.CreateRequest{ID: id, Salt: "salt", Content: c})
		if err != nil {
			t.Fatal(err)
		}
		b.append(start, d)
		return c
	}
	preserve := warrantOf("p", "NL-126ni", warrant.Preservation)
	read := warrantOf("r", "NL-126na", warrant.Attribution, warrant.Identity)
	create := func(id string, content warrant.Content, change func(*warrant.TaskRequest)) *reason.Error {
		req := warrant.TaskRequest{ID: "t", WarrantID: id, Generation: 1, Category: content.Categories[0], Target: "192.0.2.17", Instant: "2026-11-19T12:00:00+01:00"}
		change(&req)
		_, err := r.CreateTask(b.state, start, officer, req, content)
		return err
	}
	const hold = "0123456789abcdef0123456789abcdef"
	for _, test := range []struct {
		name    string
		id      string
		content warrant.Content
		change  func(*warrant.TaskRequest)
		want    reason.Reason
	}{
		{"an instant", "p", preserve, func(*warrant.TaskRequest) {}, ""},
		{"a window", "p", preserve, func(q *warrant.TaskRequest) { q.WindowEnd = "2026-11-20T00:00:00+01:00" }, ""},
		{"a window a second too long", "p", preserve, func(q *warrant.TaskRequest) { q.WindowEnd = "2026-11-20T00:00:01+01:00" }, reason.WindowExceedsWarrant},
		{"a window too long by its uncertainty", "p", preserve, func(q *warrant.TaskRequest) {
			q.WindowEnd, q.UncertaintySeconds = "2026-11-20T00:00:00+01:00", 1
		}, reason.WindowExceedsWarrant},
		{"a window backwards", "p", preserve, func(q *warrant.TaskRequest) { q.WindowEnd = "2026-11-19T11:59:59+01:00" }, reason.InvalidRequest},
		{"an empty window", "p", preserve, func(q *warrant.TaskRequest) { q.WindowEnd = q.Instant }, reason.InvalidRequest},
		{"a window in a wall time that there was twice", "p", preserve, func(q *warrant.TaskRequest) { q.WindowEnd = "2026-10-25T02:30:00 Europe/Amsterdam" }, reason.TimeAmbiguousDST},
		{"all the days", "p", preserve, func(q *warrant.TaskRequest) { q.HoldDays = 90 }, ""},
		{"a day too many", "p", preserve, func(q *warrant.TaskRequest) { q.HoldDays = 91 }, reason.InvalidRequest},
		{"more days than fit", "p", preserve, func(q *warrant.TaskRequest) { q.HoldDays = 1<<32 - 1 }, reason.InvalidRequest},
		{"of a hold", "p", preserve, func(q *warrant.TaskRequest) { q.FromHold = hold }, reason.InvalidRequest},
		{"reading under it", "p", preserve, func(q *warrant.TaskRequest) { q.Category, q.FromHold = warrant.Attribution, hold }, reason.CategoryExceedsBasis},
		{"identity under it", "p", preserve, func(q *warrant.TaskRequest) { q.Category = warrant.Identity }, reason.CategoryExceedsBasis},
		{"reading a hold", "r", read, func(q *warrant.TaskRequest) { q.Category, q.FromHold = warrant.Attribution, hold }, ""},
		{"reading what is no id", "r", read, func(q *warrant.TaskRequest) { q.Category, q.FromHold = warrant.Attribution, "../"+hold[3:] }, reason.InvalidRequest},
		{"reading a window", "r", read, func(q *warrant.TaskRequest) {
			q.Category, q.WindowEnd = warrant.Attribution, "2026-11-19T13:00:00+01:00"
		}, reason.InvalidRequest},
		{"reading for days", "r", read, func(q *warrant.TaskRequest) { q.Category, q.HoldDays = warrant.Attribution, 1 }, reason.InvalidRequest},
		{"preserving under it", "r", read, func(q *warrant.TaskRequest) { q.Category = warrant.Preservation }, reason.CategoryExceedsBasis},
		{"times of a hold", "r", read, func(q *warrant.TaskRequest) { q.Category, q.FromHold = warrant.TimeCategory, hold }, reason.CategoryExceedsBasis},
	} {
		err := create(test.id, test.content, test.change)
		wantReason(t, test.name, err, test.want)
		if err != nil && strings.Contains(err.Error(), "192.0.2") {
			t.Errorf("%s: the refusal names the target: %v", test.name, err)
		}
	}
}

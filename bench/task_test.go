package main

import (
	"context"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// TestTasksAnswerWhatWasFilled executes tasks on a small store; each fails if its
// package does not verify, or names another line than the generator's.
func TestTasksAnswerWhatWasFilled(t *testing.T) {
	awayFromMidnight()
	defer func(questions, warmUp int) { taskQuestions, taskWarmUp = questions, warmUp }(taskQuestions, taskWarmUp)
	taskQuestions, taskWarmUp = 20, 2
	figures := map[string]float64{}
	err := withStore(func(ctx context.Context, conn driver.Conn) error {
		f := assignmentFill(1e5)
		if err := f.fill(ctx, conn); err != nil {
			return err
		}
		return executeTasks(ctx, conn, f, 1e5, func(r result) { figures[r.Name] = r.Value })
	})
	if err != nil {
		t.Fatal(err)
	}
	whole := figures["task/sealed_p50_1e5"]
	for _, part := range []string{"ledger", "query", "register", "seal"} {
		if took := figures["task/"+part+"_p50_1e5"]; took <= 0 || took > whole {
			t.Errorf("%s took %.2f ms of a task's %.2f", part, took, whole)
		}
	}
}

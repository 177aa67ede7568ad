package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// expiredID is the collector of the rows that expire in the story.
const expiredID = "demo-half-year-ago"

// expiry replays a capture as if it had been taken just under the retention
// period ago, and looks at its rows before and after their last instant.
func (d *demo) expiry(ctx context.Context) error {
	conn, err := schema.Open(ctx, schema.Config{Socket: d.config.Store.Socket})
	if err != nil {
		return err
	}
	defer conn.Close()
	policies, err := schema.ReadPolicy(ctx, conn)
	if err != nil {
		return err
	}
	var policy schema.Policy
	for _, p := range policies {
		if p.Class == schema.ClassAssignment {
			policy = p
		}
	}
	// The last instant at which what the capture holds may be read.
	last := time.Now().Add(8 * time.Second).Truncate(time.Second)
	ended, err := endsReadable(policy, last)
	if err != nil {
		return err
	}
	if err := d.replay(ctx, expiredID, lease, ended, nil); err != nil {
		return err
	}
	count := func() (n uint64, err error) {
		err = conn.QueryRow(ctx, "SELECT count() FROM traffic.assignment WHERE collector_id = {id:String}", clickhouse.Named("id", expiredID)).Scan(&n)
		return n, err
	}
	if d.report.Expiry.RowsBefore, err = count(); err != nil {
		return err
	}
	d.say("Assignments: %d, last seen on %s; class %s is kept %s (%s).", d.report.Expiry.RowsBefore,
		ended.UTC().Format(time.RFC3339), policy.Class, policy.Period, policy.Purpose)
	time.Sleep(time.Until(last) + 200*time.Millisecond)
	if d.report.Expiry.RowsAfter, err = count(); err != nil {
		return err
	}
	d.say("At %s: %d. No job ran; the view stopped showing them.", last.UTC().Format(time.RFC3339), d.report.Expiry.RowsAfter)
	return nil
}

// endsReadable returns the end of a row that stops being readable at last.
func endsReadable(policy schema.Policy, last time.Time) (time.Time, error) {
	ended, err := policy.ReadableFrom(last)
	if err != nil {
		return time.Time{}, err
	}
	return ended.UTC().Truncate(time.Millisecond), nil
}

// lastWeekID is the collector of the volumes that a shorter period takes away.
const lastWeekID = "demo-last-week"

// shortening has an operator shorten usage_5m from two weeks to one, and shows
// what that does to the volumes of a customer's week before.
func (d *demo) shortening(ctx context.Context) error {
	// Past the new limit, but by less than the day that a row may stay on disk.
	lastWeek := time.Now().UTC().AddDate(0, 0, -7).Add(-2 * time.Hour)
	if err := d.replay(ctx, lastWeekID, frames, lastWeek, static); err != nil {
		return err
	}
	was, err := d.topDays(ctx, "bea")
	if err != nil {
		return err
	}
	d.report.Retention.DaysBefore = len(was.GetDays())
	for _, day := range was.GetDays() {
		d.say("Bea sees %s: %d bytes.", day.GetDay(), day.GetTotal().GetBytesUp()+day.GetTotal().GetBytesDown())
	}
	file, err := d.shorterPolicy()
	if err != nil {
		return err
	}
	if err := d.planned(ctx, file); err != nil {
		return err
	}
	sign := exec.CommandContext(ctx, d.self(), "retention", "sign", "--key", filepath.Join(d.griffierdDir(), "secret", "retention-signing.key"), file)
	if out, err := sign.CombinedOutput(); err != nil {
		return fmt.Errorf("griffier retention sign: %w: %s", err, out)
	}
	if err := os.Rename(file, d.config.RetentionFile); err != nil {
		return err
	}
	if err := d.griffierd.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("reload griffierd: %w", err)
	}
	if err := d.inForce(ctx, 2); err != nil {
		return err
	}
	is, err := d.topDays(ctx, "bea")
	if err != nil {
		return err
	}
	d.report.Retention.DaysAfter = len(is.GetDays())
	d.say("Signed and reloaded: generation 2 is in force, and Bea's volumes of that day cannot be read any more.")
	return nil
}

// topDays asks, as a customer, for the days of the last month with usage.
func (d *demo) topDays(ctx context.Context, who string) (*griffierv1.ListTopDaysResponse, error) {
	ctx, err := d.idp.as(ctx, who)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return griffierv1.NewUsageServiceClient(d.people).ListTopDays(ctx, &griffierv1.ListTopDaysRequest{LineId: "L-" + who,
		Window: &griffierv1.Window{Start: timestamppb.New(now.AddDate(0, 0, -30)), End: timestamppb.New(now)}})
}

// shorterPolicy writes the policy in force beside itself, with one period changed.
func (d *demo) shorterPolicy() (string, error) {
	text, err := os.ReadFile(d.config.RetentionFile)
	if err != nil {
		return "", err
	}
	for _, edit := range [][2]string{{"generation: 1\n", "generation: 2\n"}, {"usage_5m\n    period: P14D\n", "usage_5m\n    period: P7D\n"}} {
		if !bytes.Contains(text, []byte(edit[0])) {
			return "", fmt.Errorf("%s: no %q in it", d.config.RetentionFile, edit[0])
		}
		text = bytes.Replace(text, []byte(edit[0]), []byte(edit[1]), 1)
	}
	file := d.config.RetentionFile + ".new"
	return file, os.WriteFile(file, text, 0o600)
}

// planned has the operator look at what a file would do.
func (d *demo) planned(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	otto, err := d.idp.as(ctx, "otto")
	if err != nil {
		return err
	}
	plan, err := griffierv1.NewRetentionServiceClient(d.people).PlanRetention(otto, &griffierv1.PlanRetentionRequest{File: text})
	if err != nil {
		return err
	}
	for _, c := range plan.GetChanges() {
		if c.GetEffect() == griffierv1.RetentionChange_EFFECT_NONE {
			continue
		}
		d.report.Retention.Class, d.report.Retention.RowsPlanned = c.GetClass(), c.GetRowsUnreadable()
		d.say("Otto plans %s from %s to %s: %d rows unreadable at once, off the disk by %s.", c.GetClass(), c.GetPeriodNow(), c.GetPeriodNew(),
			c.GetRowsUnreadable(), c.GetFirstDrop().AsTime().Format(time.RFC3339))
	}
	return nil
}

// inForce waits until a generation of the policy is in force.
func (d *demo) inForce(ctx context.Context, generation uint64) error {
	return until(ctx, 10*time.Second, 100*time.Millisecond, func() (bool, error) {
		otto, err := d.idp.as(ctx, "otto")
		if err != nil {
			return false, err
		}
		resp, err := griffierv1.NewRetentionServiceClient(d.people).GetRetention(otto, &griffierv1.GetRetentionRequest{})
		if err == nil && resp.GetFileProblem() != "" {
			err = errors.New(resp.GetFileProblem())
		}
		return resp.GetInForce().GetGeneration() == generation, err
	})
}

// proof has the overseer see what is kept, and prove that nothing else is.
func (d *demo) proof(ctx context.Context) error {
	dina, err := d.idp.as(ctx, "dina")
	if err != nil {
		return err
	}
	client := griffierv1.NewExpiryServiceClient(d.people)
	stream, err := client.VerifyExpiry(dina, &griffierv1.VerifyExpiryRequest{})
	if err != nil {
		return err
	}
	var proof *griffierv1.ExpiryProof
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		if m.GetProof() != nil {
			proof = m.GetProof()
		}
	}
	for _, f := range proof.GetFindings() {
		if f.GetVerdict() == griffierv1.ExpiryVerdict_EXPIRY_VERDICT_FAIL {
			d.say("FAIL: class %s, %s: %s", f.GetClass(), f.GetPlace(), f.GetDetail())
		}
	}
	d.report.Retention.Passed, d.report.Retention.Failed, d.report.Retention.NotChecked = proof.GetPassed(), proof.GetFailed(), proof.GetNotChecked()
	d.say("Looked at %d places and classes, on the disk too: %d failed, %d are for others to check; ledger entry %d.",
		len(proof.GetFindings()), proof.GetFailed(), proof.GetNotChecked(), proof.GetLedgerIndex())
	report, err := client.ReportExpiry(dina, &griffierv1.ReportExpiryRequest{})
	if err != nil {
		return err
	}
	for _, c := range report.GetClasses() {
		if c.GetRows() > 0 {
			d.say("%-10s kept %-4s rows on disk: %3d, the first of which leave it by %s", c.GetClass(), c.GetPeriod(), c.GetRows(),
				c.GetNextDrop().AsTime().Format(time.RFC3339))
		}
	}
	return nil
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) retentionVerify() *cobra.Command {
	c := &cobra.Command{Use: "verify", Short: "Prove that nothing is kept longer than it may be", Args: noArgs,
		Long: `Look wherever rows could still be, and enter the outcome in the ledger: in what readers
see, in the stored rows, in parts in use and out of use, in the files of the embedded
engine, in a server's own logs, and in drops that were begun. A line for each class and
place says FAIL, NOT CHECKED, with the cure, or EXCEPTION (under a hold); below them a line
for each class says in which places it is PASS. With --all, and as JSON or CSV, every place
has its own line. Nothing is changed. Exit code 1 if anything failed; what was not checked
has not failed.`}
	whole := c.Flags().Bool("whole", false, "read the end of every stored row, not only of days near the limit")
	all := c.Flags().Bool("all", false, "a line for every class and place, also where all is well")
	c.RunE = func(c *cobra.Command, _ []string) error {
		proof, err := a.verifyExpiry(c.Context(), *whole)
		if err != nil {
			return err
		}
		return a.showProof(proof, *all || a.format != "table")
	}
	return c
}

// verifyExpiry asks for a proof and says on stderr how far it is.
func (a *app) verifyExpiry(ctx context.Context, whole bool) (*griffierv1.ExpiryProof, error) {
	stream, err := griffierv1.NewExpiryServiceClient(a.server).VerifyExpiry(ctx, &griffierv1.VerifyExpiryRequest{Whole: whole})
	if err != nil {
		return nil, err
	}
	var proof *griffierv1.ExpiryProof
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if m.GetProof() != nil {
			proof = m.GetProof()
			continue
		}
		fmt.Fprintf(a.stderr, "%d of %d: %s\n", m.GetDone()+1, m.GetTotal(), strings.TrimSpace(m.GetPlace()+" "+m.GetClass()))
	}
	if proof == nil {
		return nil, errors.New("retention verify: griffierd ended without a proof")
	}
	return proof, nil
}

// showProof prints a proof, and is an error when something failed. Unless all is
// wanted, it is summed up.
func (a *app) showProof(p *griffierv1.ExpiryProof, all bool) error {
	t := table{header: []string{"class", "place", "checked", "unit", "oldest", "limit", "verdict", "detail", "cure"}}
	add := func(f *griffierv1.ExpiryFinding) {
		t.add(orDash(f.GetClass()), f.GetPlace(), strconv.FormatUint(f.GetChecked(), 10), orDash(f.GetUnit()), at(f.GetOldest()), at(f.GetLimit()),
			verdict(f.GetVerdict()), orDash(f.GetDetail()), orDash(f.GetCure()))
	}
	if all {
		for _, f := range p.GetFindings() {
			add(f)
		}
	} else {
		for _, v := range []griffierv1.ExpiryVerdict{griffierv1.ExpiryVerdict_EXPIRY_VERDICT_FAIL, griffierv1.ExpiryVerdict_EXPIRY_VERDICT_UNSPECIFIED,
			griffierv1.ExpiryVerdict_EXPIRY_VERDICT_NOT_CHECKED, griffierv1.ExpiryVerdict_EXPIRY_VERDICT_EXCEPTION} {
			for _, f := range p.GetFindings() {
				if f.GetVerdict() == v {
					add(f)
				}
			}
		}
		addPassed(&t, p.GetFindings())
	}
	if err := a.print(p, t); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%s: %d passed, %d failed, %d not checked, %d exceptions; ledger entry %d\n", verdict(p.GetVerdict()),
		p.GetPassed(), p.GetFailed(), p.GetNotChecked(), p.GetExceptions(), p.GetLedgerIndex())
	if p.GetVerdict() != griffierv1.ExpiryVerdict_EXPIRY_VERDICT_PASS {
		return failure{fmt.Errorf("retention verify: %d of %d findings failed", p.GetFailed(), len(p.GetFindings())), int(reason.ExitFailed)}
	}
	return nil
}

// addPassed adds a line for each class that passed anywhere, with where that was.
func addPassed(t *table, findings []*griffierv1.ExpiryFinding) {
	var classes []string
	places := map[string][]string{}
	for _, f := range findings {
		if f.GetVerdict() != griffierv1.ExpiryVerdict_EXPIRY_VERDICT_PASS {
			continue
		}
		if places[f.GetClass()] == nil {
			classes = append(classes, f.GetClass())
		}
		places[f.GetClass()] = append(places[f.GetClass()], f.GetPlace())
	}
	for _, class := range classes {
		t.add(orDash(class), strings.Join(places[class], ", "), "-", "-", "-", "-", verdict(griffierv1.ExpiryVerdict_EXPIRY_VERDICT_PASS), "-", "-")
	}
}

func (a *app) retentionReport() *cobra.Command {
	return &cobra.Command{Use: "report", Short: "Show per class what is kept, until when, and what was proved last", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := griffierv1.NewExpiryServiceClient(a.server).ReportExpiry(c.Context(), &griffierv1.ReportExpiryRequest{})
			if err != nil {
				return err
			}
			policy, err := griffierv1.NewRetentionServiceClient(a.server).GetRetention(c.Context(), &griffierv1.GetRetentionRequest{})
			if err != nil {
				return err
			}
			a.warnOfFile(policy)
			return a.print(resp, reportTable(resp))
		}}
}

func reportTable(resp *griffierv1.ReportExpiryResponse) table {
	t := table{header: []string{"class", "period", "zone", "readable_from", "oldest_row", "next_drop", "days", "rows", "bytes", "held_rows",
		"last_verdict", "last_proof", "last_dropped_day", "last_certificate"}}
	for _, c := range resp.GetClasses() {
		day, entry := "-", "-"
		if last := c.GetLastCertificate(); last != nil {
			day, entry = last.GetFrom().AsTime().UTC().Format("2006-01-02"), strconv.FormatUint(last.GetLedgerIndex(), 10)
		}
		t.add(c.GetClass(), orDash(c.GetPeriod()), orDash(c.GetZone()), at(c.GetReadableFrom()), at(c.GetOldestRow()), at(c.GetNextDrop()),
			strconv.FormatUint(uint64(c.GetDays()), 10), strconv.FormatUint(c.GetRows(), 10), strconv.FormatUint(c.GetBytes(), 10),
			strconv.FormatUint(c.GetHeldRows(), 10), verdict(c.GetLastVerdict()), at(c.GetLastProofAt()), day, entry)
	}
	return t
}

func (a *app) retentionCertificates() *cobra.Command {
	c := &cobra.Command{Use: "certificates", Short: "List what left the disk, newest first", Args: noArgs}
	class := c.Flags().String("class", "", "only this class")
	limit := c.Flags().Uint32("limit", 100, "at most this many")
	c.RunE = func(c *cobra.Command, _ []string) error {
		resp, err := griffierv1.NewExpiryServiceClient(a.server).ListCertificates(c.Context(), &griffierv1.ListCertificatesRequest{Class: *class, Limit: *limit})
		if err != nil {
			return err
		}
		return a.print(resp, certificateTable(resp))
	}
	return c
}

func certificateTable(resp *griffierv1.ListCertificatesResponse) table {
	t := table{header: []string{"entry", "at", "class", "from", "until", "outcome", "rows", "bytes", "rows_after", "parts_before", "parts_after", "policy"}}
	for _, c := range resp.GetCertificates() {
		t.add(strconv.FormatUint(c.GetLedgerIndex(), 10), at(c.GetAt()), c.GetClass(), at(c.GetFrom()), at(c.GetUntil()), c.GetOutcome(),
			strconv.FormatUint(c.GetRows(), 10), strconv.FormatUint(c.GetBytes(), 10), strconv.FormatUint(c.GetRowsAfter(), 10),
			short(c.GetPartsBeforeSha256()), short(c.GetPartsAfterSha256()), strconv.FormatUint(c.GetPolicyGeneration(), 10))
	}
	return t
}

// verdict is as people say it.
func verdict(v griffierv1.ExpiryVerdict) string {
	if v == griffierv1.ExpiryVerdict_EXPIRY_VERDICT_UNSPECIFIED {
		return "-"
	}
	return strings.ReplaceAll(strings.TrimPrefix(v.String(), "EXPIRY_VERDICT_"), "_", " ")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

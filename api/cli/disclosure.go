package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"griffier/api/disclosure"
	"griffier/api/disclosure/seal"
	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) disclosure() *cobra.Command {
	return noun("disclosure", "Released packages: fetch, acknowledge, recall, correct", a.packageShow(), a.taskFetch(), a.packageGrant(), a.packageAcknowledge(), a.packageRecall(), a.packageCorrect())
}

func (a *app) packageShow() *cobra.Command {
	c := &cobra.Command{Use: "show TASK", Short: "Show what became of a task's package: downloads, acknowledgement, recall", Args: oneArg("TASK")}
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.onPackage(c.Context(), func(ctx context.Context, client griffierv1.PackageServiceClient) (*griffierv1.Package, error) {
			return client.GetPackage(ctx, &griffierv1.GetPackageRequest{TaskId: args[0]})
		})
	}
	return c
}

func (a *app) packageGrant() *cobra.Command {
	c := &cobra.Command{Use: "grant TASK", Short: "Let another person fetch a package once more, within 72 hours", Args: oneArg("TASK"),
		Long: `Let a holder of the role fetch the package once more, within 72 hours. The first
download is open from the release; each is used by one fetch. Who grants one cannot use it.`,
		Example: "  griffier disclosure grant TASK --to legal_officer"}
	to := c.Flags().String("to", "", "legal_officer or legal_approver (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		role := griffierv1.Role(griffierv1.Role_value["ROLE_"+strings.ToUpper(*to)])
		if role != griffierv1.Role_ROLE_LEGAL_OFFICER && role != griffierv1.Role_ROLE_LEGAL_APPROVER {
			return usageError{errors.New("disclosure grant: --to must be legal_officer or legal_approver")}
		}
		return a.onPackage(c.Context(), func(ctx context.Context, client griffierv1.PackageServiceClient) (*griffierv1.Package, error) {
			return client.GrantDownload(ctx, &griffierv1.GrantDownloadRequest{RequestId: requestID(*request), TaskId: args[0], Role: role})
		})
	}
	return c
}

func (a *app) packageAcknowledge() *cobra.Command {
	c := &cobra.Command{Use: "acknowledge TASK", Short: "Record that the authority has the package; 30 days later it is destroyed here", Args: oneArg("TASK"),
		Example: "  griffier disclosure acknowledge TASK --reference PV-2026/0042-ONTV"}
	reference := c.Flags().String("reference", "", "the authority's, of its acknowledgement (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if *reference == "" {
			return usageError{errors.New("disclosure acknowledge: --reference is required")}
		}
		return a.onPackage(c.Context(), func(ctx context.Context, client griffierv1.PackageServiceClient) (*griffierv1.Package, error) {
			return client.AcknowledgePackage(ctx, &griffierv1.AcknowledgePackageRequest{RequestId: requestID(*request), TaskId: args[0], Reference: *reference})
		})
	}
	return c
}

func (a *app) packageRecall() *cobra.Command {
	c := &cobra.Command{Use: "recall TASK", Short: "Take a wrong answer back: it is handed out no more", Args: oneArg("TASK"),
		Long: `Take a wrong answer back. It cannot be fetched any more, and is destroyed if it never was.
If it was, tell the authority first, and say how and when. The data protection officer
is warned. A new task can then be named as its correction (griffier disclosure correct).`,
		Example: "  griffier disclosure recall TASK --explanation summer-time --told telephone-20-November-10:40"}
	explanation := c.Flags().String("explanation", "", "why it is wrong; it is sealed (required)")
	told := c.Flags().String("told", "", "how and when the authority was told; required once the package was fetched")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if *explanation == "" {
			return usageError{errors.New("disclosure recall: --explanation is required")}
		}
		return a.onPackage(c.Context(), func(ctx context.Context, client griffierv1.PackageServiceClient) (*griffierv1.Package, error) {
			return client.RecallPackage(ctx, &griffierv1.RecallPackageRequest{RequestId: requestID(*request), TaskId: args[0], Explanation: *explanation, ToldHow: *told})
		})
	}
	return c
}

func (a *app) packageCorrect() *cobra.Command {
	c := &cobra.Command{Use: "correct TASK", Short: "Name a task that has not run yet as the correction of a recalled answer", Args: oneArg("TASK"),
		Example: "  griffier disclosure correct TASK --of RECALLED"}
	of := c.Flags().String("of", "", "the task whose answer was recalled (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if *of == "" {
			return usageError{errors.New("disclosure correct: --of is required")}
		}
		return a.onPackage(c.Context(), func(ctx context.Context, client griffierv1.PackageServiceClient) (*griffierv1.Package, error) {
			return client.CorrectPackage(ctx, &griffierv1.CorrectPackageRequest{RequestId: requestID(*request), TaskId: args[0], CorrectsTaskId: *of})
		})
	}
	return c
}

// onPackage calls and shows the package after that.
func (a *app) onPackage(ctx context.Context, call func(context.Context, griffierv1.PackageServiceClient) (*griffierv1.Package, error)) error {
	p, err := call(ctx, griffierv1.NewPackageServiceClient(a.server))
	if err != nil {
		return err
	}
	t := table{header: []string{"field", "value"}}
	add := func(field, value string) {
		if value != "" {
			t.add(field, value)
		}
	}
	add("task", p.GetTaskId())
	add("warrant", p.GetWarrantId())
	if p.GetReleasedAt() != nil {
		add("answer", p.GetAnswer())
		add("package_sha256", p.GetPackageSha256())
		add("package_bytes", strconv.FormatInt(p.GetPackageBytes(), 10))
		add("released_at", at(p.GetReleasedAt()))
		add("downloads", strconv.FormatUint(uint64(p.GetDownloads()), 10))
	}
	if p.GetDownloadUntil() != nil {
		add("download_until", at(p.GetDownloadUntil()))
		add("download_role", p.GetDownloadRole())
	}
	if p.GetAcknowledgedAt() != nil {
		add("acknowledged_at", at(p.GetAcknowledgedAt()))
	}
	if p.GetDestroyAt() != nil {
		add("destroy_at", at(p.GetDestroyAt()))
	}
	if p.GetDestroyed() {
		add("destroyed", "yes")
	}
	if p.GetRecalledAt() != nil {
		add("recalled_at", at(p.GetRecalledAt()))
	}
	add("corrected_by", p.GetCorrectedBy())
	add("corrects", p.GetCorrects())
	return a.print(p, t)
}

func (a *app) taskFetch() *cobra.Command {
	c := &cobra.Command{Use: "fetch TASK", Short: "Fetch the sealed package and its receipt, once; each fetch is in the ledger", Args: oneArg("TASK"),
		Long: `Fetch the sealed package and its receipt. A download is for one fetch, within 72 hours of
the release; another takes a grant by a colleague (griffier disclosure grant). The package
is TASK.tar.age, or TASK.tar.p7m where it is sealed to a certificate.`}
	dir := c.Flags().String("dir", ".", "folder to write the package and TASK.receipt.json to")
	c.RunE = func(c *cobra.Command, args []string) error {
		stream, err := griffierv1.NewDisclosureServiceClient(a.server).FetchPackage(c.Context(), &griffierv1.FetchPackageRequest{TaskId: args[0]})
		if err != nil {
			return err
		}
		var sealed, receipt []byte
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if sealed = append(sealed, m.GetChunk()...); len(sealed) > disclosure.MaxPackageBytes {
				return fmt.Errorf("the package is longer than %d bytes", disclosure.MaxPackageBytes)
			}
			receipt = append(receipt, m.GetReceipt()...)
		}
		if len(sealed) == 0 || len(receipt) == 0 {
			return errors.New("the server sent no whole package")
		}
		form, ok := seal.FormOf(sealed)
		if !ok {
			return errors.New("the server sent a package that is neither age nor CMS")
		}
		path, beside := filepath.Join(*dir, args[0]+form.Suffix()), filepath.Join(*dir, args[0]+receiptSuffix)
		if err := errors.Join(writeNew(path, sealed), writeNew(beside, receipt)); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, path)
		fmt.Fprintf(a.stderr, "%d bytes, receipt in %s\n", len(sealed), beside)
		return nil
	}
	return c
}

// receiptSuffix is how the name of the receipt beside a package ends.
const receiptSuffix = ".receipt.json"

// writeNew writes a file that only its owner reads, and never replaces one with
// other bytes.
func writeNew(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == string(data) {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

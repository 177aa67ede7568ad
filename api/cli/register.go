package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	griffierv1 "griffier/proto/griffier/v1"
)

// maxDocument bounds a document that is read from a file or stdin, in bytes.
const maxDocument = 1 << 20

func (a *app) register() *cobra.Command {
	line := &cobra.Command{
		Use: "line FILE", Short: "Register a line, from a PutLineRequest in JSON (- is stdin)", Args: oneArg("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			var req griffierv1.PutLineRequest
			if err := a.document(args[0], &req); err != nil {
				return err
			}
			if req.GetRequestId() == "" {
				req.RequestId = uuid.NewString()
			}
			_, err := griffierv1.NewRegisterServiceClient(a.server).PutLine(c.Context(), &req)
			return err
		},
	}
	rng := &cobra.Command{
		Use: "range FILE", Short: "Register an address range, from a PutRangeRequest in JSON (- is stdin)", Args: oneArg("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			var req griffierv1.PutRangeRequest
			if err := a.document(args[0], &req); err != nil {
				return err
			}
			if req.GetRequestId() == "" {
				req.RequestId = uuid.NewString()
			}
			_, err := griffierv1.NewRegisterServiceClient(a.server).PutRange(c.Context(), &req)
			return err
		},
	}
	return noun("register", "Tell the register of lines and ranges (a machine's certificate is needed)", line, rng)
}

// document reads a message in JSON from a file, or stdin for "-". An unknown
// field is an error.
func (a *app) document(path string, m proto.Message) error {
	var in io.Reader = a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxDocument+1))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(text) > maxDocument {
		return usageError{errors.New(path + ": longer than 1 MiB")}
	}
	if err := protojson.Unmarshal(text, m); err != nil {
		return usageError{fmt.Errorf("%s: %w", path, err)}
	}
	return nil
}

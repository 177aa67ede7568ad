package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) collector() *cobra.Command {
	return noun("collector", "Let collectors in and out (a network engineer, or the provisioner's certificate)",
		a.collectorToken(), a.collectorList(), a.collectorRevoke())
}

func (a *app) collectorToken() *cobra.Command {
	c := &cobra.Command{Use: "token COLLECTOR", Short: "Make a token with which one collector enrols, once", Args: oneArg("COLLECTOR"),
		Long: `Make a token with which one collector enrols, once. The token is shown now and never
again; hand it over in a file of mode 0600. With it goes the fingerprint by which the
collector knows this server.`,
		Example: `  griffier collector token edge1
  griffier-collector -enrol griffierd.isp.example:7443 -ca-sha256 FINGERPRINT -token-file FILE -config FILE`}
	valid := c.Flags().Duration("valid", time.Hour, "how long it can be exchanged, 1m to 24h")
	c.RunE = func(c *cobra.Command, args []string) error {
		resp, err := griffierv1.NewEnrolmentServiceClient(a.server).CreateEnrolmentToken(c.Context(),
			&griffierv1.CreateEnrolmentTokenRequest{CollectorId: args[0], ValidFor: durationpb.New(*valid)})
		if err != nil {
			return err
		}
		t := table{header: []string{"token", "expires", "ca_sha256"}}
		t.add(resp.GetToken(), at(resp.GetExpiresAt()), resp.GetAuthoritySha256())
		return a.print(resp, t)
	}
	return c
}

func (a *app) collectorList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List certificates and open tokens of collectors, and when they expire", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := griffierv1.NewEnrolmentServiceClient(a.server).ListCollectors(c.Context(), &griffierv1.ListCollectorsRequest{})
			if err != nil {
				return err
			}
			return a.print(resp, collectors(resp.GetCollectors()))
		},
	}
}

func collectors(list []*griffierv1.Collector) table {
	t := table{header: []string{"collector", "what", "id", "state", "issued", "expires"}}
	for _, c := range list {
		for _, x := range c.GetCertificates() {
			state := strings.ToLower(strings.TrimPrefix(x.GetState().String(), "CERTIFICATE_STATE_"))
			t.add(c.GetCollectorId(), "certificate", x.GetSerial(), state, at(x.GetIssuedAt()), at(x.GetExpiresAt()))
		}
		for _, x := range c.GetTokens() {
			t.add(c.GetCollectorId(), "token", x.GetTokenId(), "open", "-", at(x.GetExpiresAt()))
		}
	}
	return t
}

func (a *app) collectorRevoke() *cobra.Command {
	c := &cobra.Command{Use: "revoke [COLLECTOR | --token TOKEN]", Short: "Revoke a collector with all that it has, or one token",
		Example: `  griffier collector revoke edge1
  griffier collector revoke --token 0123456789abcdef`}
	token := c.Flags().String("token", "", "id of a token, as listed")
	c.Args = func(c *cobra.Command, args []string) error {
		if (*token == "") != (len(args) == 1) || len(args) > 1 {
			return usageError{fmt.Errorf("%s: want one COLLECTOR, or --token", called(c))}
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		service := griffierv1.NewEnrolmentServiceClient(a.server)
		if *token != "" {
			_, err := service.RevokeEnrolmentToken(c.Context(), &griffierv1.RevokeEnrolmentTokenRequest{TokenId: *token})
			return err
		}
		if _, err := service.RevokeCollector(c.Context(), &griffierv1.RevokeCollectorRequest{CollectorId: args[0]}); err != nil {
			return err
		}
		fmt.Fprintln(a.stderr, "nothing of it is renewed again; what it has ends by itself, so take its access at the store too")
		return nil
	}
	return c
}

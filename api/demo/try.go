package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	griffierv1 "griffier/proto/griffier/v1"
)

// howToTry prints what each role can do with the demo that keeps running.
func (d *demo) howToTry() error {
	order := proto.Clone(d.warrant.GetContent()).(*griffierv1.WarrantContent)
	order.Reference = "2026-OPS-119"
	document := sha256.Sum256(orderText(order.Reference))
	order.DocumentSha256 = hex.EncodeToString(document[:])
	if err := os.WriteFile(d.out("order.txt"), orderText(order.Reference), 0o600); err != nil {
		return err
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true, Multiline: true}.Marshal(order)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.out("order.json"), text, 0o600); err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Minute)
	instant, err := d.instant()
	if err != nil {
		return err
	}
	fmt.Fprintf(d.teller.out, `
Everything keeps running. In another terminal, first:

  export D=%[1]s H=%[1]s/home
  alias griffier=%[2]s

and then each role (what is in capitals is printed by the command before it):

  customer  griffier --home $H/bea line list
            griffier --home $H/bea usage cycle --line L-bea
            griffier --home $H/bea usage top --line L-bea --from %[3]s --to %[4]s
            griffier --home $H/anna support code --line L-anna
  support   griffier --home $H/sam support lookup --ticket T-1 --code CODE --purpose complaint --from %[5]s --to %[4]s
  officer   griffier --home $H/olga warrant create --file $D/out/order.json
            griffier --home $H/olga document put $D/out/order.txt --warrant WARRANT
            griffier --home $H/olga authority show %[9]s
            griffier --home $H/olga warrant verify WARRANT --content-sha256 HASH --number NUMBER --outcome confirmed --spoke-with desk
            griffier --home $H/olga warrant approve WARRANT --content-sha256 HASH
  approver  griffier --home $H/arjan warrant approve WARRANT --content-sha256 HASH
  officer   griffier --home $H/olga task create --warrant WARRANT --target %[6]s --instant %[7]s
  approver  griffier --home $H/arjan task confirm TASK --target %[6]s --instant %[7]s
  officer   griffier --home $H/olga task execute TASK
            griffier --home $H/olga task fetch TASK --dir $D/out
  anyone    griffier verify $D/out/package.age -trust $D/out/trust.yaml -identity $D/out/authority.key
  overseer  griffier --home $H/dina retention report
            griffier --home $H/dina retention verify
            griffier --home $H/dina ledger list
            griffier ledger verify --dir $D/griffierd/ledger --public-key $D/griffierd/trust/ledger.pub --witness $D/griffierd/ledger-witness/head
  operator  griffier --home $H/otto retention show
            griffier --home $H/otto retention plan $D/griffierd/retention.yaml
  privacy   griffier --home $H/petra retention history
            griffier --home $H/petra subject restrict L-cas --ground objection
  engineer  griffier --home $H/nina collector token edge-1
            griffier --home $H/nina collector list

Approving, executing and fetching want a log-in of the last five minutes: griffier --home $H/olga login
(without a browser here: curl -s --cacert $D/idp/ca.pem -d subject=olga -d user_code=CODE %[8]s/confirm)
Logs are in %[1]s. Ctrl-C stops everything; a temporary folder goes with it.
`, d.dir, d.self(), now.AddDate(0, 0, -30).Format(time.RFC3339), now.Add(10*time.Minute).Format(time.RFC3339), now.Add(-time.Hour).Format(time.RFC3339),
		order.GetTargets()[0], instant, d.idp.issuer, demoAuthority)
	return nil
}

func (d *demo) trustFile() string { return d.out("trust.yaml") }

func (d *demo) self() string {
	path, err := os.Executable()
	if err != nil {
		return "griffier"
	}
	return path
}

package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"google.golang.org/protobuf/proto"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
	"griffier/schema/engine/enginetest"
)

// TestOperationsTellNothingOfOthers wraps errors that quote a secret, as the
// store, the operating system and parsers do.
func TestOperationsTellNothingOfOthers(t *testing.T) {
	const secret = "zwanikken"
	database := enginetest.Start(t)
	conn, err := schema.Open(t.Context(), schema.Config{Socket: database.Socket})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	store := conn.Exec(t.Context(), "SELECT throwIf(1, '"+secret+" said no')")
	var exception *clickhouse.Exception
	if !errors.As(store, &exception) || !strings.Contains(store.Error(), secret) {
		t.Fatalf("the store said %v, want an exception that quotes the query", store)
	}
	_, missing := os.Open("/no/such/" + secret)
	_, number := strconv.Atoi(secret)
	_, dial := new(net.Dialer).DialContext(t.Context(), "tcp", secret+".invalid:1")
	link := os.Rename("/no/such/"+secret, "/no/such/other")
	syntax := json.Unmarshal([]byte(`{"`+secret+`":1}`), &struct {
		Zwanikken string `json:"zwanikken"`
	}{})
	_, parse := url.Parse(strings.Join([]string{"http://[", secret}, ""))
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"store":              {store, "store exception 395"},
		"store, wrapped":     {fmt.Errorf("read lines: %w", store), "read lines: store exception 395"},
		"store, in a reason": {reason.Wrap(reason.StoreUnavailable, fmt.Errorf("read lines: %w", store)), "STORE_UNAVAILABLE: read lines: store exception 395"},
		"store, joined":      {errors.Join(errors.New(secret), store), "store exception 395"},
		"store, two wrapped": {fmt.Errorf("%w: %w", errors.New(secret), store), "store exception 395"},
		"file":               {fmt.Errorf("open key: %w", missing), "open key: open: no such file or directory"},
		"rename":             {fmt.Errorf("keep: %w", link), "keep: no such file or directory"},
		"network":            {fmt.Errorf("ask: %w", dial), "ask: network: dial"},
		"network, in a URL":  {fmt.Errorf("ask: %w", &url.Error{Op: "Get", URL: "https://" + secret, Err: dial}), "ask: network: dial"},
		"number":             {fmt.Errorf("read day: %w", number), "read day: *strconv.NumError"},
		"json":               {fmt.Errorf("open person: %w", syntax), "open person: *json."},
		"url":                {fmt.Errorf("read issuer: %w", parse), "read issuer: *url.Error"},
		"unknown":            {errors.New(secret), "*errors.errorString"},
		"unknown, wrapped":   {fmt.Errorf("a: %w", fmt.Errorf("b: %w", errors.New(secret))), "a: b: *errors.errorString"},
		"end of file":        {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), "read: *errors.errorString"},
		"deadline":           {fmt.Errorf("read lines: %w", context.DeadlineExceeded), "read lines: deadline exceeded"},
	} {
		if c.err == nil {
			t.Errorf("%s: there is no error to look at", name)
			continue
		}
		got := operations(c.err)
		if strings.Contains(got, secret) || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q…, without the secret", name, got, c.want)
		}
	}
}

func TestTextFieldTakesIDsOnly(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	for value, want := range map[string]string{
		id: id, "": "", "Jan Zwanikken": "", "0612345678": "", "1980-02-29": "", "deadbeef": "",
		strings.ToUpper(id): "", id + "0": "", id[:31] + "g": "", id[:31] + "٣": "",
	} {
		if got := textField(&griffierv1.GetWarrantRequest{WarrantId: value}, "warrant_id"); got != want {
			t.Errorf("warrant_id %q gives %q, want %q", value, got, want)
		}
	}
	for name, m := range map[string]proto.Message{
		"no such field": &griffierv1.GetTotalsRequest{LineId: id},
		"not a text":    &griffierv1.GetProofRequest{Index: 5},
	} {
		if got := textField(m, "warrant_id"); got != "" {
			t.Errorf("%s: %q, want nothing", name, got)
		}
	}
	if got := textField(&griffierv1.GetProofRequest{Index: 5}, "index"); got != "" {
		t.Errorf("a number gives %q, want nothing", got)
	}
}

func TestAreaAndClassKey(t *testing.T) {
	for method, want := range map[string]string{"griffier.v1.LedgerService/GetProof": "ledger", "SupportService/LookUpLine": "support", "odd": "odd"} {
		if got := area(method); got != want {
			t.Errorf("area of %s is %q, want %q", method, got, want)
		}
	}
}

package reason

import (
	"bytes"
	"fmt"
)

// Markdown returns the catalogue as REASONS.md holds it.
func Markdown() []byte {
	var b bytes.Buffer
	b.WriteString(`# Reasons

Every answer and refusal that Griffier gives, by its stable name. A gRPC error
carries the name in ` + "`google.rpc.ErrorInfo.reason`" + ` with domain ` + "`" + Domain + "`" + `, the cure in its
metadata, and invalid fields in ` + "`google.rpc.BadRequest`" + `. An answer to a disclosure
task is not an error: it is sealed in a package, also when it is negative. The
gRPC code of an answer is for calls that must fail because of it.

Exit is the status of the ` + "`griffier`" + ` command: 0 ok, 1 failed, 2 usage, 3 try
again, 4 denied, 5 not covered, expired or not decidable from what is kept.

Generated from the catalogue in this folder by ` + "`go test ./api/reason -update`" + `.
`)
	for _, g := range []Group{Answers, Refusals, Transport} {
		fmt.Fprintf(&b, "\n## %s\n\n| Reason | Meaning | What the caller can do | gRPC | Exit |\n|---|---|---|---|---|\n", g)
		for _, e := range Catalogue {
			if e.Group == g {
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %d |\n", e.Reason, e.Meaning, e.Cure, e.Code, e.Exit)
			}
		}
	}
	return b.Bytes()
}

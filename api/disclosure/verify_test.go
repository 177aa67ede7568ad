package disclosure_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"griffier/api/disclosure"
	"griffier/api/disclosure/letter"
	"griffier/api/disclosure/seal"
	"griffier/api/disclosure/stamp/stamptest"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

func TestVerify(t *testing.T) {
	for _, answer := range []reason.Reason{reason.Match, reason.NoMatch, reason.CoverageGap} {
		t.Run(string(answer), func(t *testing.T) {
			s := newSample(t, answer)
			r := s.verify()
			if !r.Verified() || r.Failed() || len(r.Checks) != 14 {
				t.Fatalf("a good package is not verified: %+v", r.Checks)
			}
			if r.Manifest.Answer.Reason != answer || r.Manifest.IntentIndex != s.intent.Index || r.Manifest.Disclaimer != disclosure.Disclaimer {
				t.Errorf("manifest %+v", r.Manifest)
			}
			files := untar(t, s.plain)
			_, certified := files["certificate.txt"]
			if certified == (answer == reason.Match) {
				t.Errorf("certificate %v for %s", certified, answer)
			}
			if answer != reason.Match && bytes.Contains(s.plain, []byte("Alice")) {
				t.Error("a negative answer holds a name")
			}
			if answer == reason.Match {
				if !strings.Contains(files["records.csv"], "\r\nt1,192.0.2.17,443,6,2026-11-19T12:00:00Z,A,192.0.2.17/32,radius,observed,\"Alice \"\"=1+1\"\" Jansen, mevr.\",Lange Voorhout,8,2514 EA,Den Haag,NL\r\n") {
					t.Errorf("records.csv:\n%s", files["records.csv"])
				}
			} else if !strings.Contains(files["certificate.txt"], "2026-11-19T11:59:58Z to 2026-11-19T12:00:02Z") || !strings.Contains(files["certificate.txt"], "P6M") {
				t.Errorf("certificate:\n%s", files["certificate.txt"])
			}
			if answer == reason.NoMatch && (!strings.Contains(files["certificate.txt"], "No record is held") ||
				!strings.Contains(files["certificate.txt"], "erased at a person's request leave none")) {
				t.Errorf("the certificate says more than is known:\n%s", files["certificate.txt"])
			}
			if strings.Contains(files["manifest.json"], "PV-2026") {
				t.Error("the manifest holds the reference in clear")
			}
			if !strings.Contains(files["response.xml"], "<requestNumber>PV-2026/0042</requestNumber>") || !strings.HasPrefix(files["letter.pdf"], "%PDF-") {
				t.Error("there is no XML or no letter")
			}
			// Without the key only what lies beside the package is checked.
			r = disclosure.Verify(s.sealed, s.receipt, s.trust, seal.Identity{})
			if r.Verified() || r.Failed() || verdict(r, disclosure.CheckLedger) != disclosure.VerdictOK || verdict(r, disclosure.CheckOpen) != disclosure.VerdictNotChecked {
				t.Errorf("without a key: %+v", r.Checks)
			}
		})
	}
}

func verdict(r disclosure.Report, check string) disclosure.Verdict {
	for _, c := range r.Checks {
		if c.Name == check {
			return c.Verdict
		}
	}
	return ""
}

func TestTarIsDeterministic(t *testing.T) {
	s := newSample(t, reason.Match)
	if again := s.tar(t, s.c, reason.Match); !bytes.Equal(again, s.plain) {
		t.Error("the same package has other bytes")
	}
	first := s.sealed
	s.seal(t, s.plain)
	if bytes.Equal(first, s.sealed) {
		t.Error("sealing twice gives the same ciphertext")
	}
}

// Each control spoils one thing and must be caught by the check that is named.
func TestVerifyCatches(t *testing.T) {
	tests := []struct {
		name  string
		check string
		spoil func(*testing.T, *sample)
	}{
		{"receipt cut short", disclosure.CheckReceipt, func(_ *testing.T, s *sample) { s.receipt = s.receipt[:len(s.receipt)/2] }},
		{"receipt with an extra key", disclosure.CheckReceipt, func(_ *testing.T, s *sample) {
			s.receipt = bytes.Replace(s.receipt, []byte("{\n"), []byte("{\n  \"x\": 1,\n"), 1)
		}},
		{"leaf flipped", disclosure.CheckInclusion, func(t *testing.T, s *sample) {
			editReceipt(t, s, func(r *disclosure.Receipt) { r.Result.Leaf[30] ^= 1 })
		}},
		{"proof hash flipped", disclosure.CheckInclusion, func(t *testing.T, s *sample) {
			editReceipt(t, s, func(r *disclosure.Receipt) { r.Result.Hashes[0][0] ^= 1 })
		}},
		{"index moved", disclosure.CheckInclusion, func(t *testing.T, s *sample) {
			editReceipt(t, s, func(r *disclosure.Receipt) { r.Result.Index-- })
		}},
		{"checkpoint altered", disclosure.CheckCheckpoint, func(t *testing.T, s *sample) {
			editReceipt(t, s, func(r *disclosure.Receipt) {
				r.Result.Checkpoint = strings.Replace(r.Result.Checkpoint, "\n", "\n1", 1) // of a longer log
			})
		}},
		{"receipt of another task", disclosure.CheckInclusion, func(t *testing.T, s *sample) {
			editReceipt(t, s, func(r *disclosure.Receipt) { r.TaskID = "t2" })
		}},
		{"receipt that is silent on time stamps", disclosure.CheckReceipt, func(t *testing.T, s *sample) {
			editReceipt(t, s, func(r *disclosure.Receipt) { r.Timestamping = "" })
		}},
		{"ledger of someone else", disclosure.CheckCheckpoint, func(t *testing.T, s *sample) {
			_, key, _ := newLog(t, "isp.example/griffier")
			s.trust.LedgerKey = key.Public
		}},
		{"another package of the same task", disclosure.CheckLedger, func(t *testing.T, s *sample) { s.seal(t, s.plain) }},
		{"sealed byte flipped", disclosure.CheckLedger, func(_ *testing.T, s *sample) { s.sealed[len(s.sealed)-1] ^= 1 }},
		{"entry of another kind", disclosure.CheckLedger, func(t *testing.T, s *sample) {
			s.prove(t, good(s), func(d *ledger.Draft) { d.Kind = warrant.KindRelease })
		}},
		{"sealed byte flipped and entered", disclosure.CheckOpen, func(t *testing.T, s *sample) {
			s.sealed[len(s.sealed)-1] ^= 1
			s.prove(t, good(s), nil)
		}},
		{"sealed to someone else", disclosure.CheckOpen, func(t *testing.T, s *sample) {
			s.identity, _ = age.GenerateX25519Identity()
		}},
		{"a stray file", disclosure.CheckOpen, func(t *testing.T, s *sample) {
			retar(t, s, func(f map[string]string, order *[]string) { f["../evil"] = "x"; *order = append(*order, "../evil") })
			s.prove(t, good(s), nil)
		}},
		{"a file twice", disclosure.CheckOpen, func(t *testing.T, s *sample) {
			retar(t, s, func(f map[string]string, order *[]string) { *order = append(*order, "records.csv") })
			s.prove(t, good(s), nil)
		}},
		{"a package that is too long", disclosure.CheckOpen, func(t *testing.T, s *sample) {
			retar(t, s, func(f map[string]string, _ *[]string) {
				f["records.csv"] = strings.Repeat("x", disclosure.MaxPackageBytes)
			})
			s.prove(t, good(s), nil)
		}},
		{"a table with more rows than an answer has", disclosure.CheckRecords, func(t *testing.T, s *sample) {
			forge(t, s, func(f map[string]string, m *disclosure.Manifest) {
				f["records.csv"] += strings.Repeat(strings.Repeat(",", len(m.Columns)-1)+"\r\n", 1<<17+1)
			})
		}},
		{"a manifest of nothing but brackets", disclosure.CheckSignature, func(t *testing.T, s *sample) {
			retar(t, s, func(f map[string]string, _ *[]string) {
				text := []byte(strings.Repeat("[", 1<<20))
				sig, _ := json.Marshal(map[string]any{"format": disclosure.SignatureFormat, "algorithm": "ed25519", "key_id": disclosure.KeyID(s.signer.Public()),
					"signature": ed25519.Sign(ed25519.NewKeyFromSeed(seed(1)), text)})
				f["manifest.json"], f["manifest.sig"] = string(text), string(sig)
			})
			s.prove(t, good(s), nil)
		}},
		{"manifest edited", disclosure.CheckSignature, func(t *testing.T, s *sample) {
			retar(t, s, func(f map[string]string, _ *[]string) {
				f["manifest.json"] = strings.Replace(f["manifest.json"], `"generation": 1`, `"generation": 2`, 1)
			})
			s.prove(t, good(s), nil)
		}},
		{"signature edited", disclosure.CheckSignature, func(t *testing.T, s *sample) {
			retar(t, s, func(f map[string]string, _ *[]string) {
				f["manifest.sig"] = strings.Replace(f["manifest.sig"], `"signature": "`, `"signature": "AAAA`, 1)
			})
			s.prove(t, good(s), nil)
		}},
		{"no signature", disclosure.CheckSignature, func(t *testing.T, s *sample) {
			retar(t, s, func(_ map[string]string, order *[]string) {
				*order = slices.DeleteFunc(*order, func(name string) bool { return name == "manifest.sig" })
			})
			s.prove(t, good(s), nil)
		}},
		{"signed by another key", disclosure.CheckSignature, func(t *testing.T, s *sample) {
			other, _ := disclosure.NewSigner(seed(2))
			s.trust.PackageKey = other.Public()
		}},
		{"records edited", disclosure.CheckFiles, func(t *testing.T, s *sample) {
			retar(t, s, func(f map[string]string, _ *[]string) {
				f["records.csv"] = strings.Replace(f["records.csv"], ",A,", ",B,", 1)
			})
			s.prove(t, good(s), nil)
		}},
		{"a file left out", disclosure.CheckFiles, func(t *testing.T, s *sample) {
			retar(t, s, func(_ map[string]string, order *[]string) {
				*order = slices.DeleteFunc(*order, func(name string) bool { return name == "records.jsonl" })
			})
			s.prove(t, good(s), nil)
		}},
		{"an unsigned file put in", disclosure.CheckFiles, func(t *testing.T, s *sample) {
			retar(t, s, func(f map[string]string, order *[]string) {
				f["certificate.txt"] = "nobody"
				*order = append(*order, "certificate.txt")
			})
			s.prove(t, good(s), nil)
		}},
		{"records that differ", disclosure.CheckRecords, func(t *testing.T, s *sample) {
			forge(t, s, func(f map[string]string, _ *disclosure.Manifest) {
				f["records.csv"] = strings.Replace(f["records.csv"], ",A,", ",B,", 1)
			})
		}},
		{"a second record", disclosure.CheckRecords, func(t *testing.T, s *sample) {
			forge(t, s, func(f map[string]string, _ *disclosure.Manifest) { f["records.jsonl"] += f["records.jsonl"] })
		}},
		{"a column too many", disclosure.CheckRecords, func(t *testing.T, s *sample) {
			forge(t, s, func(f map[string]string, m *disclosure.Manifest) {
				m.Columns = append(m.Columns, "session_started_at")
				f["records.csv"] = strings.Replace(strings.Replace(f["records.csv"], "_country", "_country,session_started_at", 1), ",NL", ",NL,x", 1)
			})
		}},
		{"a match without a record", disclosure.CheckRecords, func(t *testing.T, s *sample) {
			forge(t, s, func(f map[string]string, _ *disclosure.Manifest) {
				f["records.csv"], f["records.jsonl"] = strings.SplitAfter(f["records.csv"], "\r\n")[0], ""
			})
		}},
		{"XML that differs", disclosure.CheckResponse, func(t *testing.T, s *sample) {
			forge(t, s, func(f map[string]string, _ *disclosure.Manifest) {
				f["response.xml"] = strings.Replace(f["response.xml"], "<city>Den Haag", "<city>Den Helder", 1)
			})
		}},
		{"XML of another order", disclosure.CheckResponse, func(t *testing.T, s *sample) {
			forge(t, s, func(f map[string]string, _ *disclosure.Manifest) {
				f["response.xml"] = strings.Replace(f["response.xml"], "PV-2026/0042", "PV-2026/0043", 1)
			})
		}},
		{"XML with a bomb", disclosure.CheckResponse, func(t *testing.T, s *sample) {
			forge(t, s, func(f map[string]string, _ *disclosure.Manifest) {
				f["response.xml"] = `<!DOCTYPE l [<!ENTITY a "ha">]>` + f["response.xml"]
			})
		}},
		{"XML that is missing", disclosure.CheckResponse, func(t *testing.T, s *sample) {
			forge(t, s, func(f map[string]string, _ *disclosure.Manifest) { f["response.xml"] = "" })
		}},
		{"letter about another address", disclosure.CheckLetter, func(t *testing.T, s *sample) {
			forge(t, s, func(f map[string]string, _ *disclosure.Manifest) {
				f["letter.pdf"] = strings.ReplaceAll(f["letter.pdf"], wide("192.0.2.17"), wide("192.0.2.71"))
			})
		}},
		{"letter about another person", disclosure.CheckLetter, func(t *testing.T, s *sample) {
			forge(t, s, func(f map[string]string, _ *disclosure.Manifest) {
				f["letter.pdf"] = strings.ReplaceAll(f["letter.pdf"], wide("Jansen"), wide("Janssen"))
			})
		}},
		{"letter an hour off", disclosure.CheckLetter, func(t *testing.T, s *sample) {
			forge(t, s, func(f map[string]string, _ *disclosure.Manifest) {
				f["letter.pdf"] = strings.ReplaceAll(f["letter.pdf"], wide("13:00:00"), wide("14:00:00"))
			})
		}},
		{"letter to another authority", disclosure.CheckLetter, func(t *testing.T, s *sample) {
			forge(t, s, func(f map[string]string, _ *disclosure.Manifest) {
				f["letter.pdf"] = strings.ReplaceAll(f["letter.pdf"], wide("NL-OM-Amsterdam"), wide("NL-OM-Rotterdam"))
			})
		}},
		{"no letter", disclosure.CheckLetter, func(t *testing.T, s *sample) {
			forge(t, s, func(f map[string]string, _ *disclosure.Manifest) { f["letter.pdf"] = "" })
		}},
		{"a letter that is too long", disclosure.CheckLetter, func(t *testing.T, s *sample) {
			forge(t, s, func(f map[string]string, _ *disclosure.Manifest) {
				f["letter.pdf"] += strings.Repeat("\n", letter.MaxBytes)
			})
		}},
		{"no witness", disclosure.CheckWitness, func(t *testing.T, s *sample) {
			editReceipt(t, s, func(r *disclosure.Receipt) { r.Result.Cosignatures = nil })
		}},
		{"a witness that is not trusted", disclosure.CheckWitness, func(t *testing.T, s *sample) { s.trust.WitnessKeys = []string{newWitness(t, "other.example").Public} }},
		{"fewer witnesses than are wanted", disclosure.CheckWitness, func(t *testing.T, s *sample) {
			s.trust.WitnessKeys = append(s.trust.WitnessKeys, newWitness(t, "other.example").Public)
			s.trust.WitnessesRequired = 2
		}},
		{"a witness of another state", disclosure.CheckWitness, func(t *testing.T, s *sample) {
			before := s.log.Checkpoint()
			line, err := s.witness.Cosign(before, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			s.append(t, ledger.Draft{Kind: "usage.read"})
			s.prove(t, good(s), nil)
			editReceipt(t, s, func(r *disclosure.Receipt) { r.Result.Cosignatures = []string{line} })
		}},
		{"receipt's time stamp left out", disclosure.CheckStamped, func(t *testing.T, s *sample) {
			editReceipt(t, s, func(r *disclosure.Receipt) { r.Timestamp, r.Timestamping = nil, disclosure.TimestampNone })
		}},
		{"receipt's time stamp emptied", disclosure.CheckStamped, func(t *testing.T, s *sample) {
			editReceipt(t, s, func(r *disclosure.Receipt) { r.Timestamp = nil })
		}},
		{"receipt's time stamp of something else", disclosure.CheckStamped, func(t *testing.T, s *sample) {
			editReceipt(t, s, func(r *disclosure.Receipt) { r.Timestamp = s.stamp(t, []byte("something else")) })
		}},
		{"receipt's time stamp by another authority", disclosure.CheckStamped, func(t *testing.T, s *sample) {
			s.tsa = stamptest.Start(t)
			s.prove(t, good(s), nil)
		}},
		{"a ledger that is hours from the time stamp", disclosure.CheckStamped, func(t *testing.T, s *sample) {
			s.late.Store(true)
			s.prove(t, good(s), nil)
		}},
		{"manifest's time stamp left out", disclosure.CheckToken, func(t *testing.T, s *sample) {
			retar(t, s, func(_ map[string]string, order *[]string) {
				*order = slices.DeleteFunc(*order, func(name string) bool { return name == "manifest.tsr" })
			})
			s.prove(t, good(s), nil)
		}},
		{"manifest's time stamp of something else", disclosure.CheckToken, func(t *testing.T, s *sample) {
			retar(t, s, func(f map[string]string, _ *[]string) {
				f["manifest.tsr"] = string(s.stamp(t, []byte("something else")))
			})
			s.prove(t, good(s), nil)
		}},
		{"manifest never stamped", disclosure.CheckToken, func(t *testing.T, s *sample) {
			s.c.Stamp = nil
			s.seal(t, s.tar(t, s.c, reason.Match))
			s.prove(t, good(s), nil)
		}},
		{"a receipt that denies the time stamp", disclosure.CheckAgreement, func(t *testing.T, s *sample) {
			s.trust.TimestampRoots = ""
			editReceipt(t, s, func(r *disclosure.Receipt) { r.Timestamp, r.Timestamping = nil, disclosure.TimestampNone })
		}},
		{"another answer in the ledger", disclosure.CheckAgreement, func(t *testing.T, s *sample) {
			f := good(s)
			f.Answer = "NO_MATCH"
			s.prove(t, f, nil)
		}},
		{"another attempt in the ledger", disclosure.CheckAgreement, func(t *testing.T, s *sample) {
			f := good(s)
			f.Attempt = 2
			s.prove(t, f, nil)
		}},
		{"another intent in the ledger", disclosure.CheckAgreement, func(t *testing.T, s *sample) {
			f := good(s)
			f.IntentIndex = 1
			s.prove(t, f, nil)
		}},
		{"another warrant in the ledger", disclosure.CheckAgreement, func(t *testing.T, s *sample) {
			s.prove(t, good(s), func(d *ledger.Draft) { d.WarrantID = "w2" })
		}},
		{"another generation in the ledger", disclosure.CheckAgreement, func(t *testing.T, s *sample) {
			s.prove(t, good(s), func(d *ledger.Draft) { d.Generation = 2 })
		}},
		{"an intent after the result", disclosure.CheckAgreement, func(t *testing.T, s *sample) {
			s.c.IntentIndex = 99
			s.seal(t, s.tar(t, s.c, reason.Match))
			f := good(s)
			f.IntentIndex = 99
			s.prove(t, f, nil)
		}},
	}
	tsa := stamptest.Start(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newStampedSample(t, tsa)
			if r := s.verify(); !r.Verified() {
				t.Fatalf("the sample does not verify: %+v", r.Checks)
			}
			test.spoil(t, s)
			r := s.verify()
			var failed []string
			for _, c := range r.Checks {
				if c.Verdict == disclosure.VerdictFailed {
					failed = append(failed, c.Name)
				}
				if c.Text == "" {
					t.Errorf("check %s says nothing", c.Name)
				}
			}
			if r.Verified() || len(failed) == 0 || failed[0] != test.check {
				t.Errorf("failed checks %q, want %q first", failed, test.check)
			}
		})
	}
}

func TestTrust(t *testing.T) {
	s := newStampedSample(t, stamptest.Start(t))
	full, err := disclosure.ParseTrust(disclosure.FormatTrust(s.trust))
	if err != nil || !slices.Equal(full.WitnessKeys, s.trust.WitnessKeys) || full.WitnessesRequired != 1 || strings.TrimSpace(full.TimestampRoots) != strings.TrimSpace(s.trust.TimestampRoots) {
		t.Errorf("ParseTrust(FormatTrust) = %+v, %v", full, err)
	}
	w := s.witness.Public
	s = newSample(t, reason.NoMatch)
	text := disclosure.FormatTrust(s.trust)
	got, err := disclosure.ParseTrust(text)
	if err != nil || !got.PackageKey.Equal(s.trust.PackageKey) || got.LedgerKey != s.trust.LedgerKey || got.LedgerOrigin != s.trust.LedgerOrigin {
		t.Errorf("ParseTrust(FormatTrust) = %+v, %v", got, err)
	}
	asJSON, _ := json.Marshal(map[string]string{"package_key": strings.Repeat("0a", 32), "ledger_origin": s.trust.LedgerOrigin, "ledger_key": s.trust.LedgerKey})
	if _, err := disclosure.ParseTrust(asJSON); err != nil {
		t.Errorf("JSON: %v", err)
	}
	for name, bad := range map[string]string{
		"unknown key":   string(text) + "tsa: x\n",
		"no key":        strings.Replace(string(text), "package_key", "# ", 1),
		"other origin":  strings.Replace(string(text), "ledger_origin: isp", "ledger_origin: xsp", 1),
		"no ledger key": strings.Replace(string(text), "ledger_key: ", "ledger_key: x", 1),
		"too long":      strings.Repeat("#", 65<<10),
		"no witness":    string(text) + "witness_keys: [x]\n",
		"too many":      string(text) + "witnesses_required: 1\n",
		"one twice":     string(text) + "witness_keys: [" + w + ", " + w + "]\nwitnesses_required: 2\n",
		"no root":       string(text) + "timestamp_roots: x\n",
	} {
		if _, err := disclosure.ParseTrust([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

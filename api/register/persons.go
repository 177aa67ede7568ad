package register

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"griffier/api/keystore"
)

// personKey is the keystore id of the key of a line's person. Destroying it is
// erasure.
func personKey(lineID string) string { return "person:" + lineID }

func personContext(lineID string) []byte { return []byte("register.person|" + lineID) }

func (r *Register) sealPerson(lineID string, person Person) (sealed []byte, key string, err error) {
	plain, err := json.Marshal(person)
	if err != nil {
		return nil, "", fmt.Errorf("seal person: %w", err)
	}
	key = personKey(lineID)
	if err := r.vault.Ensure(key); errors.Is(err, keystore.ErrShredded) {
		return nil, "", ErrErased
	} else if err != nil {
		return nil, "", fmt.Errorf("seal person: %w", err)
	}
	if sealed, err = r.vault.Seal(key, plain, personContext(lineID)); err != nil {
		return nil, "", fmt.Errorf("seal person: %w", err)
	}
	return sealed, key, nil
}

// Identity returns the person of a line at an instant. It returns
// [ErrUnknownLine] when the line had no contract then, and [ErrErased] when the
// person's key was destroyed. Only the disclosure executor and the person's own
// session may call it.
//
// Of a line that nobody has it asks as much.
func (r *Register) Identity(ctx context.Context, lineID string, instant time.Time) (Person, error) {
	line, unknown := r.Line(ctx, lineID)
	if unknown != nil && !errors.Is(unknown, ErrUnknownLine) {
		return Person{}, unknown
	}
	rows, err := r.conn.Query(ctx, `SELECT key_id, ciphertext FROM register.person FINAL WHERE line_id = {line:String}`, named("line", lineID))
	if err != nil {
		return Person{}, fmt.Errorf("read person: %w", err)
	}
	defer rows.Close()
	if unknown != nil || instant.Before(line.ContractStart) || !instant.Before(line.ContractEnd) {
		return Person{}, ErrUnknownLine
	}
	if !rows.Next() {
		if err := rows.Err(); err != nil { // a store that fails has erased nothing
			return Person{}, fmt.Errorf("read person: %w", err)
		}
		return Person{}, ErrErased
	}
	var key, sealed string
	if err := rows.Scan(&key, &sealed); err != nil {
		return Person{}, fmt.Errorf("read person: %w", err)
	}
	plain, err := r.vault.Open(key, []byte(sealed), personContext(lineID))
	if errors.Is(err, keystore.ErrShredded) {
		return Person{}, ErrErased
	}
	if err != nil {
		return Person{}, fmt.Errorf("open person: %w", err)
	}
	var person Person
	if err := json.Unmarshal(plain, &person); err != nil {
		return Person{}, fmt.Errorf("open person: %w", err)
	}
	return person, nil
}

// blindIndex returns what a person can be found by under a warrant: the exact,
// normalised name, and postcode with house number. Neither prefix nor likeness
// can be searched.
func (r *Register) blindIndex(p Person) []string {
	return []string{
		string(r.blind("name", Normalise(p.Name))),
		string(r.blind("place", placeOf(p.InstallationAddress))),
	}
}

func placeOf(a PostalAddress) string {
	return Normalise(a.Country) + "|" + Normalise(a.Postcode) + "|" + NormaliseNumber(a.HouseNumber)
}

// Normalise is the form in which names and postcodes are compared: NFKC, lower
// case, letters with their marks and digits only.
func Normalise(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) || unicode.IsDigit(c) || unicode.IsMark(c) {
			return c
		}
		return -1
	}, strings.ToLower(norm.NFKC.String(s)))
}

// NormaliseNumber is [Normalise] for house numbers: what stands between two
// digits is kept as a hyphen, since 1-1 is another house than 11, while 7 A and
// 7a are one.
func NormaliseNumber(s string) string {
	var b strings.Builder
	apart, digit := false, false
	for _, c := range strings.ToLower(norm.NFKC.String(s)) {
		isDigit := unicode.IsDigit(c)
		if !isDigit && !unicode.IsLetter(c) && !unicode.IsMark(c) {
			apart = true
			continue
		}
		if apart && digit && isDigit {
			b.WriteByte('-')
		}
		b.WriteRune(c)
		apart, digit = false, isDigit
	}
	return b.String()
}

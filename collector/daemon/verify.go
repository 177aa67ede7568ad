package daemon

import (
	"context"
	"fmt"
	"time"

	"griffier/collector/config"
	"griffier/collector/sink"
	"griffier/collector/spool"
	"griffier/schema"
)

// Kept is what this host has of one class in one place.
type Kept struct {
	Place   string       `json:"place"` // spool or quarantine
	Class   schema.Class `json:"class"`
	Rows    uint64       `json:"rows"`
	Expired uint64       `json:"expired"` // of them, those that the store would not show any more
	Oldest  time.Time    `json:"oldest"`  // end of the oldest
	// Overdue rows expired more than 24 hours ago, or are of a class that no
	// policy is in force for: nothing may have them any more.
	Overdue uint64 `json:"overdue"`
}

// VerifyRetention looks at every row in the spool and in quarantine, and judges
// it by the policy in force, which the store tells. It changes nothing and may run
// beside the collector. What is not in the result is not on this host.
func VerifyRetention(ctx context.Context, c config.Config, now time.Time) ([]Kept, error) {
	where, err := c.Where()
	if err != nil {
		return nil, err
	}
	read, err := readPolicy(ctx, where)
	if err != nil {
		return nil, fmt.Errorf("verify retention: the policy in force cannot be read, so nothing can be judged; start griffierd, or mend store in the configuration: %w", err)
	}
	return verifyRetention(c, read, now)
}

func verifyRetention(c config.Config, policies []schema.Policy, now time.Time) ([]Kept, error) {
	in := map[schema.Class]schema.Policy{}
	for _, p := range policies {
		in[p.Class] = p
	}
	var out []Kept
	for _, place := range []struct {
		name    string
		inspect func(visit func(schema.Record)) error
	}{
		{"spool", func(visit func(schema.Record)) error { return spool.Inspect(c.Spool.Dir, visit) }},
		{"quarantine", func(visit func(schema.Record)) error { return sink.InspectQuarantine(quarantineDir(c), visit) }},
	} {
		kept := map[schema.Class]*Kept{}
		var wrong error
		err := place.inspect(func(r schema.Record) {
			k := kept[r.Class()]
			if k == nil {
				k = &Kept{Place: place.name, Class: r.Class()}
				kept[r.Class()] = k
			}
			if err := k.add(spool.EndedAt(r), in, now); err != nil && wrong == nil {
				wrong = err
			}
		})
		if err == nil {
			err = wrong
		}
		if err != nil {
			return nil, fmt.Errorf("verify retention: %w", err)
		}
		for _, class := range schema.Classes {
			if k := kept[class]; k != nil {
				out = append(out, *k)
			}
		}
	}
	return out, nil
}

// add counts a row that ended at the time.
func (k *Kept) add(ended time.Time, policies map[schema.Class]schema.Policy, now time.Time) error {
	k.Rows++
	if k.Oldest.IsZero() || ended.Before(k.Oldest) {
		k.Oldest = ended.UTC()
	}
	policy, ok := policies[k.Class]
	if !ok {
		k.Overdue++
		return nil
	}
	expires, err := policy.ExpiresAt(ended)
	if err != nil {
		return fmt.Errorf("class %s: %w", k.Class, err)
	}
	if !expires.After(now) {
		k.Expired++
	}
	if !expires.Add(schema.DropWithin).After(now) {
		k.Overdue++
	}
	return nil
}

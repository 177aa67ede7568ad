package binding

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// The functions here append what [json.Marshal] would, to the byte, but ten times
// as fast: a checkpoint of all sessions holds up everything else. Reading is left
// to encoding/json.

func appendSession(b []byte, s *session) []byte {
	b = append(b, `{"Key":{"Source":`...)
	b = appendString(b, string(s.Key.Source))
	b = append(b, `,"Key":`...)
	b = appendString(b, s.Key.Key)
	b = append(b, `},"ID":`...)
	b = appendHex(b, s.ID[:])
	b = append(b, `,"Ref":`...)
	b = appendHex(b, s.Ref[:])
	b = append(b, `,"Known":`...)
	b = strconv.AppendBool(b, s.Known)
	b = append(b, `,"Identifier":{"Kind":`...)
	b = appendString(b, string(s.Identifier.Kind))
	b = append(b, `,"Value":`...)
	b = appendString(b, s.Identifier.Value)
	b = append(b, `},"NAS":`...)
	b = appendString(b, s.NAS)
	b = append(b, `,"NASPort":`...)
	b = appendString(b, s.NASPort)
	b = append(b, `,"Scope":`...)
	b = strconv.AppendUint(b, uint64(s.Scope), 10)
	b = appendTime(append(b, `,"StartSeen":`...), s.StartSeen)
	b = appendString(append(b, `,"StartCertainty":`...), string(s.StartCertainty))
	b = appendTime(append(b, `,"StartTold":`...), s.StartTold)
	b = appendTime(append(b, `,"FirstAt":`...), s.FirstAt)
	b = appendTime(append(b, `,"LastAt":`...), s.LastAt)
	b = appendTime(append(b, `,"ExpiresAt":`...), s.ExpiresAt)
	b = append(b, `,"End":`...)
	if s.End == nil {
		b = append(b, `null`...)
	} else {
		b = appendTime(append(b, `{"At":`...), s.End.At)
		b = appendString(append(b, `,"Cause":`...), string(s.End.Cause))
		b = appendString(append(b, `,"Certainty":`...), string(s.End.Certainty))
		b = append(b, '}')
	}
	if s.Refreshed {
		b = append(b, `,"Refreshed":true`...)
	}
	b = appendList(append(b, `,"EndTold":`...), s.EndTold, appendPrefix)
	b = appendList(append(b, `,"Runs":`...), s.Runs, appendRun)
	if c := s.Counted; c != nil {
		b = strconv.AppendUint(append(b, `,"Counted":{"Up":`...), c.Up, 10)
		b = strconv.AppendUint(append(b, `,"Down":`...), c.Down, 10)
		b = appendTime(append(b, `,"SampledAt":`...), c.SampledAt)
		b = append(b, '}')
	}
	b = appendTime(append(b, `,"SettledUntil":`...), s.SettledUntil)
	b = appendList(append(b, `,"Emitted":`...), s.Emitted, appendSlice)
	return append(b, '}')
}

// appendUsage appends an event that has nothing but usage.
func appendUsage(b []byte, ev event) []byte {
	b = slices.Grow(b, 64+200*len(ev.Usage))
	b = appendTime(append(b, `{"now":`...), ev.Now)
	if len(ev.Usage) > 0 {
		b = appendList(append(b, `,"usage":`...), ev.Usage, appendUsageEvent)
	}
	if ev.Flushed {
		b = append(b, `,"flushed":true`...)
	}
	return append(b, '}')
}

func appendUsageEvent(b []byte, u usageEvent) []byte {
	b = appendHex(append(b, `{"key":{"ID":`...), u.Key.ID[:])
	b = appendString(append(b, `,"Direction":`...), string(u.Key.Direction))
	b = strconv.AppendUint(append(b, `,"IPVersion":`...), uint64(u.Key.IPVersion), 10)
	b = appendHex(append(b, `},"ref":`...), u.Ref[:])
	b = strconv.AppendUint(append(b, `,"bytes":`...), u.Bytes, 10)
	b = strconv.AppendUint(append(b, `,"packets":`...), u.Packets, 10)
	if u.Gone {
		b = append(b, `,"gone":true`...)
	}
	return append(b, '}')
}

func appendRun(b []byte, r run) []byte {
	b = appendTime(append(b, `{"From":`...), r.From)
	b = appendTime(append(b, `,"To":`...), r.To)
	b = appendList(append(b, `,"Prefixes":`...), r.Prefixes, appendPrefix)
	b = appendList(append(b, `,"Between":`...), r.Between, appendTime)
	b = strconv.AppendBool(append(b, `,"Thinned":`...), r.Thinned)
	b = appendList(append(b, `,"Since":`...), r.Since, appendTime)
	b = strconv.AppendBool(append(b, `,"Split":`...), r.Split)
	return append(b, '}')
}

func appendSlice(b []byte, s slice) []byte {
	b = appendHex(append(b, `{"ID":`...), s.ID[:])
	b = appendPrefix(append(b, `,"Prefix":`...), s.Prefix)
	b = appendTime(append(b, `,"Whole":`...), s.Whole)
	b = appendTime(append(b, `,"Start":`...), s.Start)
	b = appendTime(append(b, `,"End":`...), s.End)
	b = strconv.AppendBool(append(b, `,"Open":`...), s.Open)
	b = appendString(append(b, `,"Cause":`...), string(s.Cause))
	b = appendString(append(b, `,"Certainty":`...), string(s.Certainty))
	return append(b, '}')
}

func appendList[T any](b []byte, list []T, item func([]byte, T) []byte) []byte {
	if list == nil {
		return append(b, `null`...)
	}
	b = append(b, '[')
	for i, x := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = item(b, x)
	}
	return append(b, ']')
}

// appendTime takes times of the years that RFC 3339 has, which all are here.
func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

func appendPrefix(b []byte, p netip.Prefix) []byte {
	b = append(b, '"')
	if p.IsValid() {
		b = p.AppendTo(b)
	}
	return append(b, '"')
}

func appendHex(b, x []byte) []byte {
	b = append(b, '"')
	b = hex.AppendEncode(b, x)
	return append(b, '"')
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			escaped, err := json.Marshal(s)
			if err != nil {
				panic("binding: encode string: " + err.Error()) // no string fails
			}
			return append(b, escaped...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

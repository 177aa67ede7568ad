package binding

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fill sets every exported field below v to something, or sometimes to nothing.
func fill(t *rapid.T, v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "time")).UTC()))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(rapid.SampledFrom([]netip.Prefix{{}, netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/56")}).Draw(t, "prefix")))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(t, v.Field(i))
			}
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "there") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem())
		}
	case reflect.Slice:
		if n := rapid.IntRange(-1, 3).Draw(t, "length"); n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(t, v.Index(i))
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(rapid.Byte().Draw(t, "byte")))
		}
	case reflect.String:
		v.SetString(rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z0-9|"\\<>&. ]*`)).Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Uint8:
		v.SetUint(uint64(rapid.Byte().Draw(t, "number")))
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(rapid.Uint32().Draw(t, "number")))
	default:
		t.Fatalf("a field of kind %v: say here how to fill it", v.Kind())
	}
}

// What is written by hand is what encoding/json writes, whatever fields there are.
func TestEncodingIsJSONProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s session
		fill(t, reflect.ValueOf(&s).Elem())
		want, err := json.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		if have := appendSession(nil, &s); string(have) != string(want) {
			t.Fatalf("have\n%s\nwant\n%s", have, want)
		}
		var ev event
		fill(t, reflect.ValueOf(&ev.Now).Elem())
		fill(t, reflect.ValueOf(&ev.Usage).Elem())
		fill(t, reflect.ValueOf(&ev.Flushed).Elem())
		if want, err = json.Marshal(ev); err != nil {
			t.Fatal(err)
		}
		if have := appendUsage(nil, ev); string(have) != string(want) {
			t.Fatalf("have\n%s\nwant\n%s", have, want)
		}
	})
}

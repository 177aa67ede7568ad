package strictjson

import "testing"

func TestUnmarshal(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"a":1}`: true, " {\"a\":1}\n": true,
		`{"a":1,"b":2}`: false, `{"a":1}{"a":1}`: false, `{"a":1}x`: false, `{"a":"1"}`: false, ``: false,
	} {
		var into struct{ A int }
		if err := Unmarshal([]byte(text), &into); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

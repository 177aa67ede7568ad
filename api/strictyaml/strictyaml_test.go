package strictyaml

import "testing"

func TestUnmarshal(t *testing.T) {
	var x struct {
		A int `yaml:"a"`
	}
	if err := Unmarshal("f.yaml", []byte("a: 1\n"), &x); err != nil || x.A != 1 {
		t.Errorf("%v, %+v", err, x)
	}
	for text, want := range map[string]string{
		"a: 1\nb: 2\n": `2:1: unknown field "b"`,
		"a: x\n":       "1:4: cannot unmarshal string into Go struct field .A of type int",
		"a: 1\na: 2\n": `2:1: mapping key "a" already defined at [1:1]`,
		"a: [\n":       "1:4: sequence end token ']' not found",
	} {
		if err := Unmarshal("f.yaml", []byte(text), &x); err == nil || err.Error() != "f.yaml:"+want {
			t.Errorf("%q: %v, want f.yaml:%s", text, err, want)
		}
		if err := Unmarshal("", []byte(text), &x); err == nil || err.Error() != want {
			t.Errorf("%q without a name: %v, want %s", text, err, want)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte("a: 1\nb: {c: [1, 2]}\n"))
	f.Add([]byte("? x\n: - |\n  y"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var x struct {
			A int               `yaml:"a"`
			B map[string][]byte `yaml:"b"`
		}
		if err := Unmarshal("f", text, &x); err != nil && err.Error() == "" {
			t.Error("an error that says nothing")
		}
	})
}

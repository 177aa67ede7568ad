package schema

import (
	"strings"
	"testing"
	"time"
)

func TestPartDay(t *testing.T) {
	for folder, want := range map[string]string{
		"20261120_1_1_0":                         "2026-11-20",
		"20261120_1_12_3_14":                     "2026-11-20", // with a mutation
		"broken_20261120_1_1_0":                  "2026-11-20",
		"broken-on-start_20261120_1_1_0_try":     "2026-11-20",
		"tmp_merge_20261120_1_9_2":               "2026-11-20",
		"delete_tmp_20261120_1_9_2":              "2026-11-20",
		"covered-by-broken_20240229_7_7_0":       "2024-02-29",
		"patch-0a1b2c-20261120_1_1_0":            "2026-11-20", // of a lightweight update
		"ignored_patch-0a1b2c-20261120_1_1_0":    "2026-11-20",
		"20261120_1_1":                           "",
		"all_1_1_0":                              "",
		"20261320_1_1_0":                         "", // no month 13
		"20261120_x_1_0":                         "",
		"20261120":                               "",
		"":                                       "",
		"____":                                   "",
		"0123456789abcdef0123456789abcdef_1_1_0": "",
	} {
		day, ok := PartDay(folder)
		if got := day.Format(time.DateOnly); ok != (want != "") || ok && got != want {
			t.Errorf("PartDay(%q) = %s, %v, want %q", folder, got, ok, want)
		}
	}
}

func FuzzPartDay(f *testing.F) {
	for _, seed := range []string{"20261120_1_1_0", "broken_20261120_1_1_0_try1", "tmp_merge_20261120_1_9_2_5", "all_1_1_0", "2026_11_20_20261120_1_2_3", "patch-0a-20261120_1_1_0", "_____"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, folder string) {
		day, ok := PartDay(folder)
		if !ok {
			if !day.IsZero() {
				t.Errorf("PartDay(%q) is %v and no day", folder, day)
			}
			return
		}
		if !strings.Contains(folder, day.Format("20060102")+"_") || !day.Equal(day.Truncate(24*time.Hour)) {
			t.Errorf("PartDay(%q) = %v, which is not in it", folder, day)
		}
		if again, ok := PartDay("detached_" + folder); !ok || !again.Equal(day) {
			t.Errorf("with a prefix %q is of %v, %v; want %v", folder, again, ok, day)
		}
	})
}

package daemon

import (
	"strings"
	"testing"
	"time"
)

func TestPackagesConfig(t *testing.T) {
	good := PackagesConfig{Language: "nl", DownloadFor: 72 * time.Hour, AcknowledgedFor: 720 * time.Hour,
		Timestamp: TimestampConfig{URL: "https://tsa.example/tsr", RootsFile: "roots.pem", Limit: 10 * time.Second}}
	for _, c := range []PackagesConfig{{}, good} {
		if err := c.validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for want, spoil := range map[string]func(*PackagesConfig){
		"language":         func(c *PackagesConfig) { c.Language = "fr" },
		"download_for":     func(c *PackagesConfig) { c.DownloadFor = 73 * time.Hour },
		"acknowledged_for": func(c *PackagesConfig) { c.AcknowledgedFor = -1 },
		"timestamp.url":    func(c *PackagesConfig) { c.Timestamp.URL = "tsa.example" },
		"roots_file":       func(c *PackagesConfig) { c.Timestamp.RootsFile = "" },
		"timestamp.limit":  func(c *PackagesConfig) { c.Timestamp.Limit = time.Hour },
	} {
		c := good
		spoil(&c)
		if err := c.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

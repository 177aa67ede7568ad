package config

import (
	"path/filepath"

	"griffier/collector/enrol"
)

// Enrolment is about the collector's own certificate, which griffierd issues and
// a ClickHouse server may ask for.
type Enrolment struct {
	// Dir is where the certificate and its key are, made by -enrol. Without one the
	// collector has no certificate, and needs none for a store that is a socket.
	Dir string `yaml:"dir"`
	// Server is the HOST:PORT of griffierd, where the certificate is renewed; empty:
	// where it comes from.
	Server string `yaml:"server"`
}

// defaultEnrolmentDir is in the state folder of the unit.
const defaultEnrolmentDir = "/var/lib/griffier-collector/identity"

func (c *Config) checkEnrolment() *problem {
	if !filepath.IsAbs(c.Enrolment.Dir) {
		return &problem{"enrolment.dir", "want an absolute path"}
	}
	if c.Enrolment.Server != "" {
		if _, err := enrol.ParseServer(c.Enrolment.Server); err != nil {
			return &problem{"enrolment.server", "want HOST:PORT"}
		}
	}
	return nil
}

// Identity returns where the collector's certificate is.
func (c Config) Identity() enrol.Folder { return enrol.Folder(c.Enrolment.Dir) }

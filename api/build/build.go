// Package build tells what a program was built from, as Go recorded it.
package build

import "runtime/debug"

// Version is the program's version, the first twelve digits of its revision where
// that is known, and Go's version, separated by spaces.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			version += " " + s.Value[:12]
		}
	}
	return version + " " + info.GoVersion
}

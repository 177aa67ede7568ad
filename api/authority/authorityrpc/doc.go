// Package authorityrpc serves the registry of authorities: it hands requests to the
// pure rules of package authority, appends what they decide, and looks up the keys
// that packages are sealed to.
package authorityrpc

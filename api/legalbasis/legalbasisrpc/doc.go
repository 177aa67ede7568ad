// Package legalbasisrpc serves the legal-basis profile: it hands requests to the
// pure rules of package legalbasis and appends what they decide.
package legalbasisrpc

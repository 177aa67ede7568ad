// Package holdrpc serves holds over gRPC: it is the shell of package hold as far
// as people act on them. What is held it cannot read.
package holdrpc

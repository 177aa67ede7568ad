// Package retentionrpc serves RetentionService over package retention: it reads
// the signed file of a request, has the ledger decide, and has what was approved
// brought into force. The rules themselves are package retention's.
package retentionrpc

// Package keep keeps what holds are of: each in one file, sealed in chunks under a
// key of its own, and gone when that key is.
//
// A copy is made whole or not at all, wherever the process dies: an empty file that
// names it is on disk before its key is made, the sealed file is synced before it
// gets its name, and the entry that makes it a hold comes last. What has no entry
// is destroyed at the next start.
//
// Nothing is opened but for a task that names the hold, and, only its head, to count
// rows for the retention report and to say whether a line's rows are held.
package keep

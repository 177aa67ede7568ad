// Package letter writes an answer as a letter that a prosecutor can read: what was
// asked and how it was understood, what was found, what was searched, and what the
// answer does not say. Every instant stands there in UTC and in local time, with
// zone, weekday and summer or winter time, because an hour's error has put the
// wrong person under arrest (IPCO 2018, error 11).
//
// It writes PDF, in Dutch or in English. The same letter has the same bytes.
package letter

package signedfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// MaxFile bounds a file with its signatures, in bytes.
const MaxFile = 24 << 10

// maxProblems are told at once.
const maxProblems = 20

// Problem is one thing that is wrong with a file, and where.
type Problem struct {
	Line, Column int // from 1; 0: the file as a whole
	What         string
}

// FileError lists what is wrong with a file.
type FileError struct {
	Name     string // of the file, may be empty
	Problems []Problem
}

func (e *FileError) Error() string {
	var lines []string
	for _, p := range e.Problems {
		at := e.Name
		if p.Line > 0 {
			at = strings.TrimPrefix(fmt.Sprintf("%s:%d:%d", e.Name, p.Line, p.Column), ":")
		}
		if at != "" {
			at += ": "
		}
		lines = append(lines, at+p.What)
	}
	return strings.Join(lines, "\n")
}

// Refuse returns the error that lists problems in the order of their lines.
func Refuse(name string, problems ...Problem) *FileError {
	slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
	return &FileError{name, problems[:min(len(problems), maxProblems)]}
}

// TooLong is the refusal of a file beyond [MaxFile].
func TooLong(name string) *FileError {
	return Refuse(name, Problem{What: fmt.Sprintf("is longer than %d bytes", MaxFile)})
}

// Read reads a file up to one byte more than [MaxFile], whose form is for [Open]
// to judge. what is what errors call it.
func Read(what, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return text, nil
}

// NoFile tells the error of [Read] for a file that could not be read.
func NoFile(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path)
}

// Open verifies a signed file and has parse read its text. Its error is a
// [*FileError] and tells what is wrong with the text as well as with the
// signature.
func Open[T any](name string, signed []byte, trusted Trusted, parse func(name string, text []byte) (T, error)) (read T, signedBy string, err error) {
	var nothing T
	if len(signed) > MaxFile {
		return nothing, "", TooLong(name)
	}
	if p, odd := unreadable(signed); odd {
		return nothing, "", Refuse(name, p)
	}
	read, err = parse(name, Text(signed))
	var wrong *FileError
	if !errors.As(err, &wrong) {
		wrong = &FileError{Name: name}
	}
	if signedBy, err = trusted.Verify(signed); err != nil {
		wrong.Problems = append(wrong.Problems, Problem{What: err.Error()})
	}
	if len(wrong.Problems) > 0 {
		return nothing, "", wrong
	}
	return read, signedBy, nil
}

// Clip bounds foreign text in an error.
func Clip(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

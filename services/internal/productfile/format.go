// Package productfile reads and writes files of products: JSON, JSON lines, YAML and CSV. Fields have Stripe's names. A
// file that was written reads as the same products.
package productfile

import (
	"fmt"
	"path/filepath"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Format is a format of a file.
type Format string

// The formats.
const (
	JSON  Format = "json"
	Lines Format = "jsonl"
	YAML  Format = "yaml"
	CSV   Format = "csv"
)

// FormatOf returns the format that the extension of a file's name tells, or false.
func FormatOf(name string) (Format, bool) {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".json":
		return JSON, true
	case ".jsonl", ".ndjson":
		return Lines, true
	case ".yaml", ".yml":
		return YAML, true
	case ".csv":
		return CSV, true
	default:
		return "", false
	}
}

// Located is a product of a file, with the line on which it begins, and those on which its prices begin.
type Located struct {
	Product    *catalogv1.Product
	Line       int
	PriceLines []int
}

// Error is a fault of a file.
type Error struct {
	// Line counts from 1.
	Line int
	// Field is a path in Stripe's names, or the column of a CSV file. Empty if it is not about a field.
	Field   string
	Message string
}

func (e *Error) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Message)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Field, e.Message)
}

func faultf(line int, field, format string, args ...any) error {
	return &Error{line, field, fmt.Sprintf(format, args...)}
}

package cli

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// printTable writes rows in columns. A cell is always one line.
func printTable(w io.Writer, rows ...[]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, sanitizeRow(row))
	}
	_ = t.Flush()
}

func ago(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return time.Since(t.AsTime()).Round(time.Second).String() + " ago"
}

var stdout = os.Stdout

package cli

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/visible"
)

// Output for people that holds texts of others goes through sayf, sayingf, say and printTable. Output for machines goes
// through printJSON and jsonOut. Texts come from Stripe, from rows and from services, and may hold anything: see
// package visible.

// sayf is fmt.Fprintf with arguments that are harmless on a terminal. Each is one line, but an error and a value of the
// type lines keep their line breaks. The format itself is trusted.
func sayf(w io.Writer, format string, args ...any) {
	fmt.Fprint(w, sayingf(format, args...))
}

// sayingf returns the text that sayf prints.
func sayingf(format string, args ...any) string {
	return fmt.Sprintf(format, sanitize(args)...)
}

// say is fmt.Fprintln with arguments that are harmless on a terminal, as those of sayf.
func say(w io.Writer, args ...any) {
	fmt.Fprintln(w, sanitize(args)...)
}

// raw is a trusted text. It is printed as it is.
type raw string

// lines is a text of several lines.
type lines string

func sanitize(args []any) []any {
	out := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case raw:
			out[i] = string(v)
		case lines:
			out[i] = visible.Lines(string(v))
		case string:
			out[i] = text(v)
		case []byte:
			out[i] = text(v)
		case error:
			out[i] = visible.Lines(v.Error())
		case fmt.Stringer:
			out[i] = text(v.String())
		default:
			switch out[i] = arg; reflect.ValueOf(arg).Kind() {
			case reflect.String:
				out[i] = text(reflect.ValueOf(arg).String())
			case reflect.Slice, reflect.Array, reflect.Map, reflect.Struct, reflect.Pointer:
				out[i] = text(fmt.Sprint(arg))
			default:
			}
		}
	}
	return out
}

// text formats harmlessly with every verb. The verb %q is harmless itself.
type text string

func (t text) Format(f fmt.State, verb rune) {
	shown := string(t)
	if verb != 'q' {
		shown = visible.Text(shown)
	}
	fmt.Fprintf(f, fmt.FormatString(f, verb), shown)
}

// safeJSON writes JSON to standard output. It escapes what acts on a terminal, which keeps the meaning. Each write must
// end between two characters.
type safeJSON struct{}

func (safeJSON) Write(data []byte) (int, error) {
	if _, err := stdout.Write(visible.JSON(data)); err != nil {
		return 0, err
	}
	return len(data), nil
}

// jsonOut writes JSON for machines to standard output.
var jsonOut safeJSON

// sanitizeRow returns the cells of a row, made harmless and joined by tabs.
func sanitizeRow(row []string) string {
	shown := make([]string, len(row))
	for i, cell := range row {
		shown[i] = visible.Text(cell)
	}
	return strings.Join(shown, "\t")
}

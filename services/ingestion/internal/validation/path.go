package validation

import (
	"cmp"
	"fmt"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// fieldPath returns the path of a field as catalog.Validate writes it, below the path at:
// prices["mug-eur"].currency_options.eur.unit_amount. The keys of metadata may be any text, and are quoted.
func fieldPath(at string, field *validate.FieldPath) string {
	var b strings.Builder
	b.WriteString(at)
	for _, element := range field.GetElements() {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(element.GetFieldName())
		switch subscript := element.GetSubscript().(type) {
		case *validate.FieldPathElement_Index:
			fmt.Fprintf(&b, "[%d]", subscript.Index)
		case *validate.FieldPathElement_StringKey:
			if element.GetFieldName() == "metadata" {
				fmt.Fprintf(&b, "[%q]", catalog.Abridged(subscript.StringKey))
			} else {
				b.WriteString("." + catalog.Abridged(subscript.StringKey))
			}
		}
	}
	return b.String()
}

// comparePaths compares paths by letters, and indices in them by number.
func comparePaths(a, b string) int {
	for a != "" && b != "" {
		x, restOfA := cutLeading(a)
		y, restOfB := cutLeading(b)
		if isDigit(x[0]) && isDigit(y[0]) {
			if c := cmp.Compare(len(x), len(y)); c != 0 {
				return c
			}
		}
		if c := cmp.Compare(x, y); c != 0 {
			return c
		}
		a, b = restOfA, restOfB
	}
	return cmp.Compare(len(a), len(b))
}

// cutLeading splits off the leading number, or everything before the first number.
func cutLeading(s string) (part, rest string) {
	isNumber := isDigit(s[0])
	for i := range len(s) {
		if isDigit(s[i]) != isNumber {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

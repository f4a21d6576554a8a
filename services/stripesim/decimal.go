package stripesim

import (
	"strconv"
	"strings"
)

// maxDecimalPlaces is the number of places after the point that Stripe keeps of an amount.
const maxDecimalPlaces = 12

// decimal is a number of minor units without needless zeros, such as "1250" or "0.000000000001". It is empty if there
// is none. It stays text from the request to the answer, so that no digit can get lost.
type decimal string

// parseDecimal parses a number that is not negative.
func parseDecimal(s string, places int) (decimal, bool) {
	whole, fraction, point := strings.Cut(s, ".")
	if whole == "" && fraction == "" || point && fraction == "" || !digits(whole) || !digits(fraction) ||
		len(fraction) > places || len(s) > 64 {
		return "", false
	}
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if whole == "" {
		whole = "0"
	}
	if fraction == "" {
		return decimal(whole), true
	}
	return decimal(whole + "." + fraction), true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func wholeDecimal(n int64) decimal { return decimal(strconv.FormatInt(n, 10)) }

// whole returns the number if it has no fraction and fits into Stripe's integers.
func (d decimal) whole() (int64, bool) {
	n, err := strconv.ParseInt(string(d), 10, 64)
	return n, err == nil
}

// integer renders the number for a field like unit_amount: null if it is not a whole number.
func (d decimal) integer() *int64 {
	if n, ok := d.whole(); ok {
		return &n
	}
	return nil
}

// text renders the number for a field like unit_amount_decimal.
func (d decimal) text() *string {
	if d == "" {
		return nil
	}
	return new(string(d))
}

// number is a decimal that JSON writes as a number, such as a package's height.
type number decimal

func (n number) MarshalJSON() ([]byte, error) { return []byte(n), nil }

func (n *number) UnmarshalJSON(data []byte) error {
	*n = number(data)
	return nil
}

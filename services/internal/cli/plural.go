package cli

import "strconv"

// countOf returns a number with its noun: "1 product", "2,000 products".
func countOf[N int | uint32 | uint64](n N, one, many string) string {
	return formatCount(uint64(n)) + " " + plural(n, one, many)
}

// plural returns the form of a word that goes with a number.
func plural[N int | uint32 | uint64](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// formatCount formats a number with commas.
func formatCount(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

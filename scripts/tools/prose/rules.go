package main

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxWords is the maximum number of words of a sentence. The house style says "about 25"; far longer ones are hard to
// read.
const maxWords = 30

// maxColumns is the maximum width of a line.
const maxColumns = 120

// banned maps private words to the field's own.
var banned = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{word(`anew`), "again"},
	{word(`mend(s|ed|ing)?`), "fix or repair"},
	{word(`newest`), "latest"},
	{word(`whoever|whomever`), "name the subject"},
	{word(`nobody's|somebody's|anybody's`), "name the owner"},
	{word(`of which|by which|of whom`), "split the sentence"},
	{word(`in vain`), "without success"},
	{word(`orphans?|orphaned`), "extra"},
	{word(`find out|finds out|found out`), "detect"},
	{word(`tell apart|tells apart|told apart`), "distinguish"},
	{word(`is told of|are told of|tells of`), "report"},
	{word(`hitherto|thereof|therein|whence|thence|hence`), "plain words"},
}

// openings match sentences whose first word delays the subject.
var openings = regexp.MustCompile(`^(What|Of|Whoever|That) [a-z]`)

// subjects match opening words that are themselves the subject: "That is", "That way".
var subjects = regexp.MustCompile(`^(That|What) (is|was|are|way|does|can|would|will|to)\b`)

func word(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?i)\b(` + pattern + `)\b`) }

// code matches quotations of code.
var code = regexp.MustCompile("`[^`]*`|\"[^\"]{1,24}\"|\\[[^\\]]*\\]\\([^)]*\\)|https?://\\S+|<[^>]*>")

// checkWords returns the banned words in a text.
func checkWords(text string) []string {
	text = code.ReplaceAllString(text, " ")
	var out []string
	for _, b := range banned {
		if found := b.pattern.FindString(text); found != "" {
			out = append(out, fmt.Sprintf("%q: %s", found, b.instead))
		}
	}
	return out
}

// sentenceEnd matches the end of a sentence and the space after it.
var sentenceEnd = regexp.MustCompile(`[.!?:]["')\]*]*\s+`)

// checkSentences checks the length and the first word of each sentence of a paragraph.
func checkSentences(text string) (long, opening []string) {
	text = code.ReplaceAllString(text, "x")
	for _, s := range sentenceEnd.Split(text, -1) {
		s = strings.TrimSpace(s)
		words := 0
		for w := range strings.FieldsSeq(s) {
			if r, _ := utf8.DecodeRuneInString(strings.TrimLeft(w, `"'(*_`)); unicode.IsLetter(r) ||
				unicode.IsDigit(r) {
				words++
			}
		}
		if words > maxWords {
			long = append(long, fmt.Sprintf("%d words, at most %d: %q", words, maxWords, start(s)))
		}
		if openings.MatchString(s) && !subjects.MatchString(s) {
			opening = append(opening, fmt.Sprintf("begin with the subject: %q", start(s)))
		}
	}
	return long, opening
}

func start(s string) string {
	if fields := strings.Fields(s); len(fields) > 8 {
		return strings.Join(fields[:8], " ") + " ..."
	}
	return s
}

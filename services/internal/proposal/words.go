package proposal

import (
	"slices"
	"strings"
	"unicode"
)

// vocabulary has the words that names without separators are made of, as productvariantchannellisting.
var vocabulary = strings.Fields(`product variant variation channel listing price media category type translation image
	collection attribute plan sku currency code tax class unit list set option item tag meta amount`)

// words splits a name into words in lower case and singular: "ProductVariants" is product, variant. A word that follows
// itself is left out, as in product_product.
func words(name string) []string {
	var parts []string
	var word []rune
	flush := func() {
		if len(word) > 0 {
			parts = append(parts, strings.ToLower(string(word)))
		}
		word = nil
	}
	before := ' '
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			flush()
		case unicode.IsUpper(r) && unicode.IsLower(before):
			flush()
			word = append(word, r)
		default:
			word = append(word, r)
		}
		before = r
	}
	flush()
	var out []string
	for _, part := range parts {
		for _, w := range segments(part) {
			if w = singular(w); len(out) == 0 || out[len(out)-1] != w {
				out = append(out, w)
			}
		}
	}
	return out
}

// segments splits a word into words of the vocabulary, if it consists of them.
func segments(word string) []string {
	if rest := split(word); rest != nil {
		return rest
	}
	return []string{word}
}

func split(word string) []string {
	for _, v := range vocabulary {
		rest, ok := strings.CutPrefix(word, v)
		switch {
		case !ok:
		case rest == "" || rest == "s":
			return []string{v}
		default:
			if more := split(rest); more != nil {
				return append([]string{v}, more...)
			}
		}
	}
	return nil
}

func singular(word string) string {
	switch {
	case len(word) > 4 && strings.HasSuffix(word, "ies"):
		return word[:len(word)-3] + "y"
	case strings.HasSuffix(word, "xes"), strings.HasSuffix(word, "ches"), strings.HasSuffix(word, "sses"):
		return word[:len(word)-2]
	case len(word) > 3 && strings.HasSuffix(word, "s") && !strings.HasSuffix(word, "ss") &&
		!strings.HasSuffix(word, "us") && !strings.HasSuffix(word, "is"):
		return word[:len(word)-1]
	default:
		return word
	}
}

func last(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}

// anyOf reports whether one of the words is in the list.
func anyOf(words []string, list ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(list, w) })
}

// is reports whether the words are exactly one of the phrases: "currency code".
func is(words []string, phrases ...string) bool {
	return slices.Contains(phrases, strings.Join(words, " "))
}

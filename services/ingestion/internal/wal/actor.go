package wal

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxActor is the maximum length of the name of an actor in bytes.
const maxActor = 300

// cleanActor returns the name of an actor as the ledger can store it and a terminal can show it. Everyone who may log
// in to the database may write any bytes.
func cleanActor(content []byte) string {
	name := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, string(content))
	name = strings.TrimSpace(name)
	for len(name) > maxActor {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}

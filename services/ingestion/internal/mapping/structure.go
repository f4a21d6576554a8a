package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// value is a column's value, or a part of one in JSON, with its path. Its mistakes are added to faults.
type value struct {
	path   string
	raw    []byte
	faults *[]catalog.Violation
}

// maxJSON is the maximum size of a structure in bytes. Stripe accepts no larger one, and decoding needs a multiple of
// it.
const maxJSON = 1 << 20

func (v value) faultf(format string, args ...any) {
	if len(*v.faults) > catalog.MaxViolations {
		return
	}
	*v.faults = append(*v.faults, catalog.Violation{Field: v.path, Message: fmt.Sprintf(format, args...)})
}

func (v value) at(path string, raw []byte) value {
	return value{v.path + path, bytes.TrimSpace(raw), v.faults}
}

// isNone reports whether a structure means that there is none: NULL, JSON's null, or an empty object or list. An empty
// list may stand in for an object and the reverse, because some languages write one for the other.
func (v value) isNone() bool {
	raw := bytes.TrimSpace(v.raw)
	if len(raw) >= 2 && (raw[0] == '{' || raw[0] == '[') {
		return len(bytes.TrimSpace(raw[1:len(raw)-1])) == 0
	}
	return len(raw) == 0 || string(raw) == "null"
}

// isOversized reports whether a structure is too large to be decoded, and adds a fault if it is.
func (v value) isOversized() bool {
	if len(v.raw) <= maxJSON {
		return false
	}
	v.faultf("must have at most %d bytes, not %d", maxJSON, len(v.raw))
	return true
}

// fields returns the fields of an object by their names.
func (v value) fields() map[string]value {
	if v.isNone() || v.isOversized() {
		return nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(v.raw, &raw); err != nil {
		v.faultf("must be an object, as {\"key\": \"value\"}, not %s", v.shown())
		return nil
	}
	out := make(map[string]value, len(raw))
	for name, field := range raw {
		out[name] = v.at("."+catalog.Abridged(name), field)
	}
	return out
}

// items returns the items of a list.
func (v value) items() []value {
	if v.isNone() || v.isOversized() {
		return nil
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(v.raw, &raw); err != nil {
		v.faultf("must be a list, as [...], not %s", v.shown())
		return nil
	}
	out := make([]value, len(raw))
	for i, item := range raw {
		out[i] = v.at("["+strconv.Itoa(i)+"]", item)
	}
	return out
}

// text returns a string, or a number or boolean as text with all its digits. It is empty for null.
func (v value) text() string {
	raw := v.raw
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return ""
	case raw[0] == '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			v.faultf("is no text that can be read: %v", err)
		}
		return s
	case raw[0] == '[':
		v.faultf("must be a text, a number or a boolean, not the list %s: write it as one text in the query, as with "+
			"array_to_string", v.shown())
	case raw[0] == '{':
		v.faultf("must be a text, a number or a boolean, not the object %s: choose one of its values in the query, as "+
			"with ->>", v.shown())
	default:
		return string(raw)
	}
	return ""
}

// whole returns a whole number of at most limit, 0 for null.
func (v value) whole(limit uint64) uint64 {
	text := v.text()
	if text == "" {
		return 0
	}
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseUint(whole, 10, 64)
	if err != nil || n > limit || strings.Trim(fraction, "0") != "" {
		v.faultf("must be a whole number from 0 to %d, not %s", limit, v.shown())
		return 0
	}
	return n
}

// shown returns the value for messages, shortened.
func (v value) shown() string { return abridge(v.raw) }

// metadata returns metadata without keys whose value is NULL or empty. Stripe stores no empty values, so it must have
// no such key.
func (v value) metadata() map[string]string {
	var out map[string]string
	fields := v.fields()
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		field := fields[key]
		field.path = fmt.Sprintf("%s[%q]", v.path, catalog.Abridged(key))
		if text := field.text(); text != "" {
			if out == nil {
				out = make(map[string]string, len(fields))
			}
			out[key] = text
		}
	}
	return out
}

// texts returns the items of a list of texts, or of objects with a name. It omits NULL and empty items, because an
// aggregate over an outer join has one if there is nothing.
func (v value) texts() []string {
	var out []string
	for _, item := range v.items() {
		if len(item.raw) > 0 && item.raw[0] == '{' {
			item = item.fields()["name"]
		}
		if text := item.text(); text != "" {
			out = append(out, text)
		}
	}
	return out
}

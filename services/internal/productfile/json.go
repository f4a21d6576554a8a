package productfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// jsonReader reads values of a JSON text.
type jsonReader struct {
	data []byte
	dec  *json.Decoder
	// line is the line of the byte at counted.
	line, counted int
	depth         int
}

func newJSONReader(data []byte, line int) *jsonReader {
	r := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: line}
	r.dec.UseNumber()
	return r
}

// lineAt returns the line of the byte before an offset. Offsets only grow.
func (r *jsonReader) lineAt(offset int64) int {
	end := max(r.counted, min(int(offset), len(r.data)))
	r.line += bytes.Count(r.data[r.counted:end], []byte("\n"))
	r.counted = end
	return r.line
}

// maxDepth is deeper than a product has values.
const maxDepth = 100

// next returns the next value, io.EOF at the end.
func (r *jsonReader) next() (*node, error) {
	token, err := r.dec.Token()
	if err != nil {
		return nil, r.fault(err)
	}
	line := r.lineAt(r.dec.InputOffset())
	switch v := token.(type) {
	case json.Delim:
		if r.depth++; r.depth > maxDepth {
			return nil, faultf(line, "", "values are nested more than %d deep", maxDepth)
		}
		defer func() { r.depth-- }()
		return r.inner(&node{kind: list, line: line}, v == '{')
	case string:
		return &node{kind: text, text: v, line: line}, nil
	case json.Number:
		return &node{kind: number, text: v.String(), line: line}, nil
	case bool:
		n := &node{kind: boolean, text: "false", line: line}
		if v {
			n.text = "true"
		}
		return n, nil
	default:
		return &node{kind: null, line: line}, nil
	}
}

// inner reads the items of a list or an object, and its end.
func (r *jsonReader) inner(n *node, isObject bool) (*node, error) {
	if isObject {
		n.kind = object
	}
	seen := map[string]bool{}
	for r.dec.More() {
		if isObject {
			key, err := r.dec.Token()
			if err != nil {
				return nil, r.unfinished(err)
			}
			name, _ := key.(string)
			if seen[name] {
				return nil, faultf(r.lineAt(r.dec.InputOffset()), name, "is given twice")
			}
			seen[name] = true
			n.keys = append(n.keys, name)
		}
		item, err := r.next()
		if err != nil {
			return nil, r.unfinished(err)
		}
		n.items = append(n.items, item)
	}
	if _, err := r.dec.Token(); err != nil {
		return nil, r.unfinished(err)
	}
	return n, nil
}

// unfinished is fault for an error within a value, where the text must not end.
func (r *jsonReader) unfinished(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return r.fault(err)
}

func (r *jsonReader) fault(err error) error {
	var syntax *json.SyntaxError
	var fault *Error
	switch {
	case errors.Is(err, io.EOF), errors.As(err, &fault):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return faultf(r.lineAt(int64(len(r.data))), "", "the JSON text ends too early")
	case errors.As(err, &syntax):
		return faultf(r.lineAt(max(r.dec.InputOffset(), syntax.Offset-1)), "", "this is no JSON: %s", syntax)
	default:
		return faultf(r.lineAt(r.dec.InputOffset()), "", "this is no JSON: %s", err)
	}
}

// values returns all values of a text.
func (r *jsonReader) values() (all []*node, err error) {
	for {
		n, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		}
		all = append(all, n)
	}
}

// appendJSON appends a value as compact JSON.
func appendJSON(out []byte, n *node) []byte {
	switch n.kind {
	case text:
		return appendText(out, n.text)
	case list, object:
		begin, end := byte('['), byte(']')
		if n.kind == object {
			begin, end = '{', '}'
		}
		out = append(out, begin)
		for i, item := range n.items {
			if i > 0 {
				out = append(out, ',')
			}
			if n.kind == object {
				out = append(appendText(out, n.keys[i]), ':')
			}
			out = appendJSON(out, item)
		}
		return append(out, end)
	case null, boolean, number:
	}
	return append(out, n.text...)
}

// appendText appends a text as JSON, which is YAML too.
func appendText(out []byte, s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // A text always encodes.
	return append(out, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

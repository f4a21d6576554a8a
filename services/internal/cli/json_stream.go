package cli

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// jsonStream writes one JSON object with a list that need not fit into memory.
type jsonStream struct {
	// list is the name of the list.
	list  string
	begun bool
	items int
}

func (s *jsonStream) begin() error {
	if s.begun {
		return nil
	}
	s.begun = true
	_, err := fmt.Fprintf(jsonOut, "{%q:[", s.list)
	return wrapWrite(err)
}

// item adds an item to the list.
func (s *jsonStream) item(m proto.Message) error {
	if err := s.begin(); err != nil {
		return err
	}
	data, err := compactJSON(m)
	if err != nil {
		return err
	}
	separator := "\n"
	if s.items > 0 {
		separator = ",\n"
	}
	s.items++
	_, err = jsonOut.Write(append([]byte(separator), data...))
	return wrapWrite(err)
}

// end adds the named fields of an answer, and ends the object.
func (s *jsonStream) end(answer proto.Message, names ...string) error {
	if err := s.begin(); err != nil {
		return err
	}
	data, err := compactJSON(answer)
	if err != nil {
		return err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	out := []byte("]")
	for _, name := range names {
		out = append(out, fmt.Sprintf(",\n%q:%s", name, fields[name])...)
	}
	_, err = jsonOut.Write(append(out, "}\n"...))
	return wrapWrite(err)
}

// compactJSON encodes a message without the white space that the library varies.
func compactJSON(m proto.Message) ([]byte, error) {
	data, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return compact.Bytes(), nil
}

package cli

import (
	"bytes"
	"os"
	"sync"

	"github.com/driftless-sync/driftless/services/internal/visible"
)

// lineWriter keeps the lines of several services apart.
type lineWriter struct {
	mu sync.Mutex
	w  *os.File
	// json says that records are JSON, which name their service themselves.
	json bool
}

type namedWriter struct {
	*lineWriter
	name string
}

func (w *lineWriter) named(name string) namedWriter { return namedWriter{w, name} }

// Write gets one line at a time. A line may hold texts of strangers. The service escapes them in its records. Anything
// else that a program prints, such as a panic, is escaped here.
func (w namedWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	shown := "[" + w.name + "] " + visible.Lines(string(bytes.TrimSuffix(line, []byte("\n")))) + "\n"
	if w.json && bytes.HasPrefix(line, []byte("{")) {
		shown = string(visible.JSON(line))
	}
	if _, err := w.w.WriteString(shown); err != nil {
		return 0, err
	}
	return len(line), nil
}

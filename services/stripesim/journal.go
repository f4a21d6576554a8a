package stripesim

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// record is one change as a line of the journal: the new state of the objects that changed. It is safe to apply a
// record twice.
type record struct {
	Account string `json:"account"`
	Live    bool   `json:"live,omitempty"`

	Products      []*product      `json:"products,omitempty"`
	GoneProducts  []string        `json:"gone_products,omitempty"`
	Buried        []string        `json:"buried,omitempty"` // ids of products deleted before the journal was compacted
	Prices        []*price        `json:"prices,omitempty"`
	GonePrices    []string        `json:"gone_prices,omitempty"`
	Endpoints     []*endpoint     `json:"endpoints,omitempty"`
	GoneEndpoints []string        `json:"gone_endpoints,omitempty"`
	Subscriptions []*subscription `json:"subscriptions,omitempty"`
	PaymentLinks  []*paymentLink  `json:"payment_links,omitempty"`
	Events        []*event        `json:"events,omitempty"`
	Settled       []deliveryEnd   `json:"settled,omitempty"`
	Answers       []*answer       `json:"answers,omitempty"`
}

func (r *record) empty() bool {
	return len(r.Products)+len(r.GoneProducts)+len(r.Buried)+len(r.Prices)+len(r.GonePrices)+len(r.Endpoints)+len(
		r.GoneEndpoints)+
		len(r.Subscriptions)+len(r.PaymentLinks)+len(r.Events)+len(r.Settled)+len(r.Answers) == 0
}

// journal keeps the changes in a file.
type journal struct {
	mu   sync.Mutex
	file *os.File
}

// replay reads a journal. It skips a last line without an end: the process ended while it wrote the line, so nobody
// received its answer.
func replay(path string, apply func(*record)) error {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("simulator: open its data file: %w", err)
	}
	defer func() { _ = file.Close() }()
	in := bufio.NewReaderSize(file, 1<<20)
	for line := 1; ; line++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("simulator: read its data file %s: %w", path, err)
		}
		var r record
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf(
				"simulator: line %d of its data file %s is damaged: %w; move the file away to start with nothing", line,
				path, err)
		}
		apply(&r)
	}
}

// openJournal writes the state to a new file, replaces the old one with it, and appends to it from then on.
func openJournal(path string, state func(yield func(*record) bool)) (*journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("simulator: create the folder of its data file: %w", err)
	}
	fresh := path + ".new"
	file, err := os.OpenFile(fresh, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("simulator: create its data file: %w", err)
	}
	out := bufio.NewWriterSize(file, 1<<20)
	state(func(r *record) bool {
		if r.empty() {
			return true
		}
		var line []byte
		if line, err = json.Marshal(r); err == nil {
			_, err = out.Write(append(line, '\n'))
		}
		return err == nil
	})
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		// The rename removes the old file, so the new one must be on disk first.
		err = file.Sync()
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("simulator: write its data file %s: %w", path, err), file.Close())
	}
	return &journal{file: file}, nil
}

// write appends a record with a single write(2).
func (j *journal) write(r *record) error {
	if j == nil || r.empty() {
		return nil
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err = j.file.Write(append(line, '\n'))
	return err
}

func (j *journal) truncate() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file.Truncate(0)
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file.Close()
}

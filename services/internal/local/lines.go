package local

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxLineBytes is the maximum number of bytes of a line that are passed on.
const maxLineBytes = 256 << 10

// copyLines copies lines from in to out until the end of input, each with one write. It cuts lines that are too long,
// with a note. It never stops reading, since that would block the program. It returns the last line.
func copyLines(out io.Writer, in io.Reader) (last string) {
	reader := bufio.NewReaderSize(in, 64<<10)
	var line []byte
	dropped := 0
	for {
		piece, err := reader.ReadSlice('\n')
		piece, ended := bytes.CutSuffix(piece, []byte("\n"))
		room := min(len(piece), maxLineBytes-len(line))
		line = append(line, piece[:room]...)
		dropped += len(piece) - room
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if ended || len(line) > 0 {
			line = bytes.TrimSuffix(line, []byte("\r"))
			if dropped > 0 {
				line = fmt.Appendf(line, " ... (%d more bytes of this line are omitted)", dropped)
			}
			last = string(line[:min(len(line), maxLastLineBytes)])
			// A failed write, such as to a closed terminal, is no reason to stop the program.
			_, _ = out.Write(append(line, '\n'))
		}
		line, dropped = line[:0], 0
		if err != nil {
			return last
		}
	}
}

// maxLastLineBytes is the maximum number of bytes of the last line, which says why a program could not start.
const maxLastLineBytes = 2 << 10

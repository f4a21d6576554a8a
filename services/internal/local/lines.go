package local

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// longestLine is how much of a line of a program's output is passed on, in bytes.
const longestLine = 256 << 10

// passLines writes what it reads to out, line by line and each by one write, until the end of input. A line that is too
// long is cut, with a note; it never stops reading, which would block the program. It returns the last line.
func passLines(out io.Writer, in io.Reader) (last string) {
	reader := bufio.NewReaderSize(in, 64<<10)
	var line []byte
	dropped := 0
	for {
		piece, err := reader.ReadSlice('\n')
		piece, ended := bytes.CutSuffix(piece, []byte("\n"))
		room := min(len(piece), longestLine-len(line))
		line = append(line, piece[:room]...)
		dropped += len(piece) - room
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if ended || len(line) > 0 {
			line = bytes.TrimSuffix(line, []byte("\r"))
			if dropped > 0 {
				line = fmt.Appendf(line, " ... (%d more bytes of this line are left out)", dropped)
			}
			last = string(line[:min(len(line), longestLast)])
			// What cannot be written, such as to a terminal that was closed, is no reason to stop the program.
			_, _ = out.Write(append(line, '\n'))
		}
		line, dropped = line[:0], 0
		if err != nil {
			return last
		}
	}
}

// longestLast is how much of the last line tells why a program could not start.
const longestLast = 2 << 10

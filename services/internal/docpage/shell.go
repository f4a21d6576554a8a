package docpage

import (
	"regexp"
	"slices"
	"strings"
)

var (
	assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
	heredoc    = regexp.MustCompile(`^<<-?\s*['"]?(\w+)['"]?`)
	// keywords come before a command.
	keywords = []string{"if", "then", "else", "while", "until", "do", "!", "{", "}", "time"}
)

// Commands returns the words of each command in a script, without quotes, redirections, variables that are set before
// it, and comments. It knows as much of a shell's language as the pages need.
func Commands(script string) [][]string {
	s := splitter{rest: script}
	for s.rest != "" {
		s.step()
	}
	s.end()
	return s.commands
}

type splitter struct {
	rest     string
	word     strings.Builder
	isWord   bool
	words    []string
	commands [][]string
	// isTarget reports whether the next word is the file of a redirection.
	isTarget bool
	// document is the last line of a here-document that begins after this line.
	document string
}

func (s *splitter) step() {
	c := s.rest[0]
	switch {
	case strings.HasPrefix(s.rest, "\\\n"):
		s.rest = s.rest[2:]
		s.endWord()
		return
	case c == '\'' || c == '"':
		s.quoted(c)
		return
	case c == '#' && !s.isWord:
		_, rest, _ := strings.Cut(s.rest, "\n")
		s.rest = "\n" + rest
		return
	case strings.HasPrefix(s.rest, "$(") || strings.HasPrefix(s.rest, "<("):
		s.rest = s.rest[2:]
		s.end()
		return
	case heredoc.MatchString(s.rest):
		m := heredoc.FindStringSubmatch(s.rest)
		s.document, s.rest = m[1], s.rest[len(m[0]):]
		s.endWord()
		return
	}
	s.rest = s.rest[1:]
	switch c {
	case ' ', '\t':
		s.endWord()
	case '>', '<':
		s.endWord()
		s.isTarget = true
	case '\n', ';', '|', '&', ')', '(':
		s.end()
		if c == '\n' && s.document != "" {
			s.skipDocument()
		}
	default:
		s.word.WriteByte(c)
		s.isWord = true
	}
}

func (s *splitter) quoted(quote byte) {
	text, rest, _ := strings.Cut(s.rest[1:], string(quote))
	s.word.WriteString(text)
	s.isWord, s.rest = true, rest
}

func (s *splitter) skipDocument() {
	for line := range strings.Lines(s.rest) {
		s.rest = s.rest[len(line):]
		if strings.TrimSpace(line) == s.document {
			break
		}
	}
	s.document = ""
}

func (s *splitter) endWord() {
	if !s.isWord {
		return
	}
	word := s.word.String()
	s.word.Reset()
	s.isWord = false
	switch {
	case s.isTarget:
		s.isTarget = false
	case len(s.words) == 0 && (assignment.MatchString(word) || slices.Contains(keywords, word)):
	default:
		s.words = append(s.words, word)
	}
}

func (s *splitter) end() {
	s.endWord()
	s.isTarget = false
	if len(s.words) > 0 {
		s.commands = append(s.commands, s.words)
		s.words = nil
	}
}

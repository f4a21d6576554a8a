package doctor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Selection says which checks are made. Its words are groups or ids of checks.
type Selection struct {
	// Only selects these checks. Empty selects all.
	Only []string
	// Skip leaves these checks out. They are listed in Report.Skipped.
	Skip []string
}

// Validate returns an error for a word that is neither a group nor the id of a check, and if no check is left.
func (s Selection) Validate() error {
	for _, word := range slices.Concat(s.Only, s.Skip) {
		if _, ok := Find(word); !ok && !slices.Contains(Groups(), word) {
			return fmt.Errorf("there is no check or group %q; the groups are %s, and docs/doctor.md has the checks",
				word,
				strings.Join(Groups(), ", "))
		}
	}
	if !slices.ContainsFunc(Checks(), func(c Check) bool { return s.includes(c.ID) }) {
		return errors.New("--skip leaves out every check that --only selects")
	}
	return nil
}

func (s Selection) includes(id string) bool {
	return (len(s.Only) == 0 || names(s.Only, id)) && !s.skips(id)
}

// skips reports whether the check would be made if Skip did not name it.
func (s Selection) skips(id string) bool {
	return names(s.Skip, id) && (len(s.Only) == 0 || names(s.Only, id))
}

func names(words []string, id string) bool {
	return slices.Contains(words, id) || slices.Contains(words, GroupOf(id))
}

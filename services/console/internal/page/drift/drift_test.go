package drift

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/console/internal/web"
)

// TestDecideEach_SaysWhatWasDecided: the command decides the same, and an error says what was decided before it.
func TestDecideEach_SaysWhatWasDecided(t *testing.T) {
	t.Parallel()
	refused := connect.NewError(connect.CodeFailedPrecondition, errors.New("the policy has no write-back"))
	away := connect.NewError(connect.CodeUnavailable, errors.New("no answer"))
	var whole []string
	for i := range 2*maxFields + 1 {
		whole = append(whole, fmt.Sprintf("mug\x1fmetadata.%d", i))
	}
	many := make([]string, maxCommands+1)
	for i := range many {
		many[i] = fmt.Sprintf("p%d\x1fname", i)
	}
	for name, c := range map[string]struct {
		selected []string
		reason   string
		fails    map[string]error
		want     web.Done
		err      string
		code     connect.Code
		calls    int
	}{
		"some fields of a product": {
			selected: []string{"mug\x1fname", "mug\x1fmetadata.a,b"},
			reason:   " by phone ",
			want: web.Done{
				Text:    "2 differences are decided.",
				Command: `driftless drift ignore mug --field=name --field='metadata.a\,b' --reason='by phone'`,
			},
			calls: 1,
		},
		"two products": {
			selected: []string{"mug\x1f-", "a cup\x1fname"},
			want: web.Done{
				Text:    "2 differences are decided.",
				Command: "driftless drift ignore mug --field='-' && driftless drift ignore 'a cup' --field=name",
			},
			calls: 2,
		},
		"a field that no command can name": {
			selected: []string{"mug\x1fname", "mug\x1fmetadata.a\\,b"},
			want:     web.Done{Text: "2 differences are decided."},
			calls:    1,
		},
		"a field without a name": {
			selected: []string{"mug\x1fname", "cup\x1f"},
			err:      "the form is not one of this page",
			code:     connect.CodeInvalidArgument,
		},
		"too many products for commands": {
			selected: many,
			want:     web.Done{Text: "6 differences are decided."},
			calls:    6,
		},
		"more fields of a product than the API takes": {
			selected: append([]string{"cup\x1fname"}, whole...),
			want:     web.Done{Text: "2,002 differences are decided."},
			calls:    4,
		},
		"too many fields, and one of the calls fails": {
			selected: whole,
			fails:    map[string]error{"mug metadata.1000": refused},
			err:      "1,000 differences are decided. 1 product failed: mug: the policy has no write-back",
			code:     connect.CodeFailedPrecondition,
			calls:    2,
		},
		"one fails": {
			selected: []string{"mug\x1fname", "cup\x1fname", "jug\x1fname"},
			fails:    map[string]error{"cup": refused},
			err:      "2 differences are decided. 1 product failed: cup: the policy has no write-back",
			code:     connect.CodeFailedPrecondition,
			calls:    3,
		},
		"all fail": {
			selected: []string{"mug\x1fname"},
			fails:    map[string]error{"mug": refused},
			err:      "1 product failed: mug: the policy has no write-back",
			code:     connect.CodeFailedPrecondition,
			calls:    1,
		},
		"the mesh is away": {
			selected: []string{"mug\x1fname", "cup\x1fname", "jug\x1fname", "pot\x1fname"},
			fails:    map[string]error{"mug": refused, "jug": away},
			err: "1 difference is decided. 1 product failed: mug: the policy has no write-back. " +
				"Stopped at jug: no answer",
			code:  connect.CodeUnavailable,
			calls: 3,
		},
		"the mesh is away from the start": {
			selected: []string{"mug\x1fname", "cup\x1fname"},
			fails:    map[string]error{"mug": away},
			err:      "Stopped at mug: no answer",
			code:     connect.CodeUnavailable,
			calls:    1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			form := url.Values{"drift": c.selected, "reason": {c.reason}}
			calls := 0
			done, err := decideEach(&web.Visit{Request: &http.Request{PostForm: form}}, "decided",
				"driftless drift ignore PRODUCT", func(of chosen) error {
					calls++
					require.LessOrEqual(t, len(of.fields), 1000, "the API takes no more")
					return cmp.Or(c.fails[of.product], c.fails[of.product+" "+of.fields[0]])
				})
			require.Equal(t, c.calls, calls)
			require.Equal(t, c.want, done)
			if c.err == "" {
				require.NoError(t, err)
				return
			}
			require.Equal(t, c.err, web.Explain(err))
			require.Equal(t, c.code, connect.CodeOf(err))
		})
	}
}

package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
)

func TestReportFailure_AsJSON(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"unavailable":      connect.NewError(connect.CodeUnavailable, errors.New("does not answer")),
		"not_found":        fmt.Errorf("read products: %w", fs.ErrNotExist),
		"failed":           errors.New("1 of 2 failed"),
		"invalid_argument": fmt.Errorf("look: %w", connect.NewError(connect.CodeInvalidArgument, errors.New("no id"))),
	} {
		var out bytes.Buffer
		reportFailure(&out, []string{"status", "-o", "json"}, err)
		require.Equal(t, 1, bytes.Count(out.Bytes(), []byte("\n")))
		var answer failureAnswer
		require.NoError(t, json.Unmarshal(out.Bytes(), &answer))
		require.Equal(t, want, answer.Error.Code)
		require.NotContains(t, answer.Error.Message, "unavailable: ")
		require.NotEmpty(t, answer.Error.Message)
		require.NotEmpty(t, answer.Error.Remedy)
	}
	for code := connect.CodeCanceled; code <= connect.CodeUnauthenticated; code++ {
		require.NotEmpty(t, remedies[code.String()], code)
	}
	var out bytes.Buffer
	reportFailure(&out, []string{"status"}, errors.New("it failed"))
	require.Equal(t, "driftless: it failed\n", out.String())
}

func TestWantsJSON(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-o", "json"}, {"-ojson"}, {"--output=json"}, {"x", "--output", "json"}} {
		require.True(t, wantsJSON(args), args)
	}
	for _, args := range [][]string{{"-o"}, {"-o", "text"}, {"json"}, {"--", "-ojson"}} {
		require.False(t, wantsJSON(args), args)
	}
}

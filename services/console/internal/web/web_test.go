package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/console/internal/view"
)

// A link that somebody sends must not lead away from the console after the sign-in.
func TestBackPath_StaysInTheConsole(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/plan?held=1":           "/plan?held=1",
		"/products/a%2Fb":        "/products/a%2Fb",
		"":                       "/",
		"plan":                   "/",
		"//evil.example":         "/",
		"/\\evil.example":        "/",
		"https://evil.example/":  "/",
		"javascript:alert(1)":    "/",
		"/a\r\nSet-Cookie: x=y":  "/",
		"http:/\\evil.example/x": "/",
	} {
		require.Equal(t, want, backPath(path), "%q", path)
	}
}

func TestClassify_SaysWhatToDo(t *testing.T) {
	t.Parallel()
	away := classify(connect.NewError(connect.CodeUnavailable, errors.New("NATS is away")))
	require.Equal(t, http.StatusServiceUnavailable, away.status)
	require.Equal(t, "NATS is away", away.text)
	require.Contains(t, away.remedy, "Nothing is known about the catalog and Stripe while this lasts.")
	require.Equal(t, http.StatusForbidden,
		classify(connect.NewError(connect.CodePermissionDenied, errors.New("no"))).status)
	require.Equal(t, http.StatusInternalServerError, classify(errors.New("broken")).status)
}

func TestExplain_KeepsWhatWrapsAnAnswer(t *testing.T) {
	t.Parallel()
	answer := connect.NewError(connect.CodeUnavailable, errors.New("NATS is away"))
	require.Equal(t, "NATS is away", Explain(answer))
	require.Equal(t, "stopped after 3 products: NATS is away",
		Explain(fmt.Errorf("stopped after 3 products: %w", answer)))
	require.Equal(t, "no answer in time", Explain(context.DeadlineExceeded))
}

func TestCut_FitsIntoACookie(t *testing.T) {
	t.Parallel()
	f := cut(&view.Flash{Text: strings.Repeat("é", 2000), Command: "short"})
	require.LessOrEqual(t, len(f.Text), 1203)
	require.True(t, strings.HasSuffix(f.Text, "é…"))
	require.Equal(t, "short", f.Command)
	require.Empty(t, cut(&view.Flash{Command: strings.Repeat("x", 1201)}).Command,
		"part of a command does something else")
}

// A look at the link leaves it for the visitor. A wrong key leaves it, too, and it works once.
func TestLink_WorksOnceAndSurvivesALook(t *testing.T) {
	t.Parallel()
	a := &App{link: newLink("the key")}
	looked := httptest.NewRecorder()
	a.followLink(looked, httptest.NewRequest(http.MethodHead, "/sign-in/link?key=the+key", nil))
	require.Equal(t, http.StatusNoContent, looked.Code)
	require.False(t, a.link.use("another"))
	require.True(t, a.link.use("the key"))
	require.False(t, a.link.use("the key"))
	require.False(t, newLink("").use(""), "without a key there is no link")
}

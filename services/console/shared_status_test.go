package console_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/services/console"
)

// statusAPI answers visitors whose token is the name of a role. Each reading of the status has another count, so that
// the console tells about each.
type statusAPI struct {
	controlv1connect.UnimplementedControlServiceHandler

	mu sync.Mutex
	// read is how many readings were asked for to be after the request, as a page does. watched counts the others.
	read, watched uint64
}

func (a *statusAPI) WhoAmI(_ context.Context, r *connect.Request[controlv1.WhoAmIRequest],
) (*connect.Response[controlv1.WhoAmIResponse], error) {
	role := strings.TrimPrefix(r.Header().Get("Authorization"), "Bearer ")
	if role != "read" && role != "operate" {
		return nil, connect.NewError(connect.CodeUnauthenticated, nil)
	}
	return connect.NewResponse(&controlv1.WhoAmIResponse{Role: role, RecordedAs: "visitor-" + role}), nil
}

func (a *statusAPI) GetStatus(_ context.Context, r *connect.Request[controlv1.GetStatusRequest],
) (*connect.Response[controlv1.GetStatusResponse], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Msg.GetMaxAge() == nil {
		a.read++
	} else {
		a.watched++
	}
	return connect.NewResponse(&controlv1.GetStatusResponse{InSync: a.read + a.watched}), nil
}

func (a *statusAPI) ListActivity(ctx context.Context, r *connect.Request[controlv1.ListActivityRequest],
) (*connect.Response[controlv1.ListActivityResponse], error) {
	if r.Msg.GetWait() != nil {
		<-ctx.Done()
	}
	return connect.NewResponse(&controlv1.ListActivityResponse{}), ctx.Err()
}

func (a *statusAPI) reads() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.read
}

// browser is a visitor who looks at the first page.
type browser struct {
	client  *http.Client
	address string
}

func signIn(t *testing.T, address, token string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	b := &browser{client: &http.Client{Jar: jar}, address: address}
	resp, err := b.client.PostForm(address+"/sign-in", url.Values{"token": {token}})
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return b
}

// load reads the first page, again after events if there are marks.
func (b *browser) load(t *testing.T, marks ...string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.address+"/", nil)
	require.NoError(t, err)
	if len(marks) > 0 {
		request.Header.Set("Hx-Request", "true")
		request.Header.Set("Driftless-Read", strings.Join(marks, " "))
	}
	resp, err := b.client.Do(request)
	require.NoError(t, err)
	defer resp.Body.Close()
	var body strings.Builder
	_, err = bufio.NewReader(resp.Body).WriteTo(&body)
	require.NoError(t, err)
	return body.String()
}

// told follows the events, and calls f with the mark of each status until it returns true.
func (b *browser) told(t *testing.T, f func(mark string) bool) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.address+"/live", nil)
	require.NoError(t, err)
	resp, err := b.client.Do(request)
	require.NoError(t, err)
	defer resp.Body.Close()
	status := false
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		mark, isData := strings.CutPrefix(lines.Text(), "data: ")
		if isData && status && f(mark) {
			return
		}
		status = lines.Text() == "event: status" || status && !isData
	}
	require.Fail(t, "the events have ended")
}

func shown(t *testing.T, body, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(body)
	require.NotNil(t, found, "%s is not in %s", pattern, body)
	return found[1]
}

const (
	readMark  = `data-read="([^"]+)"`
	formToken = `name="form" value="([^"]+)"`
	equal     = `All (\d+) products are equal`
)

// Visitors share what the mesh's status is, and nothing of each other.
func TestNow_SharesAReadingAndNoRights(t *testing.T) {
	t.Parallel()
	api := &statusAPI{}
	_, handler := controlv1connect.NewControlServiceHandler(api)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	address := run(t, console.Config{ControlURL: server.URL, IngestURL: server.URL})
	viewer, operator := signIn(t, address, "read"), signIn(t, address, "operate")
	reads := api.reads()
	before := map[*browser]string{viewer: viewer.load(t), operator: operator.load(t)}
	require.Equal(t, reads+2, api.reads(), "each page that is opened has a reading of its own")

	operator.told(t, func(told string) bool {
		reads := api.reads()
		after := map[*browser]string{}
		for _, b := range []*browser{operator, viewer} {
			after[b] = b.load(t, shown(t, before[b], readMark), told)
		}
		if api.reads() != reads {
			// The pages were opened after this reading began.
			return false
		}
		require.Equal(t, shown(t, after[viewer], equal), shown(t, after[operator], equal), "both show one reading")
		require.Equal(t, shown(t, after[viewer], readMark), shown(t, after[operator], readMark))
		require.NotEqual(t, shown(t, before[viewer], equal), shown(t, after[viewer], equal))

		require.Contains(t, after[operator], `action="/pause"`)
		require.NotContains(t, after[viewer], `action="/pause"`, "what a viewer may not do is not offered")
		require.Contains(t, after[viewer], "visitor-read")
		require.NotContains(t, after[viewer], "visitor-operate")
		require.NotContains(t, after[operator], "visitor-read")
		for _, b := range []*browser{viewer, operator} {
			require.Equal(t, shown(t, before[b], formToken), shown(t, after[b], formToken))
		}
		require.NotEqual(t, shown(t, after[viewer], formToken), shown(t, after[operator], formToken))

		stranger := &browser{client: &http.Client{}, address: address}
		require.NotRegexp(t, equal, stranger.load(t, shown(t, after[viewer], readMark), told))

		// A page that was opened meanwhile has what its visitor has just done. The reading may lack that.
		opened := viewer.load(t)
		reads = api.reads()
		again := viewer.load(t, shown(t, opened, readMark), told)
		require.Equal(t, reads+1, api.reads())
		require.NotEqual(t, shown(t, opened, equal), shown(t, again, equal))
		return true
	})
}

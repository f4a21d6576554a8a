package mesh_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// attacker has the credentials of one of the mesh's users, and sends arbitrary NATS messages.
type attacker struct {
	t    *testing.T
	conn *nats.Conn
}

// oneMore changes an observed state.
func oneMore(o *catalogv1.Observed) error {
	o.Generation++
	return nil
}

func attackerAs(t *testing.T, srv *server.Server, user string) attacker {
	t.Helper()
	conn, err := nats.Connect("tls://"+user+":"+user+"-secret@"+srv.Addr().String(),
		nats.RootCAs(os.Getenv("NATS_TLS_CERT")),
		nats.CustomInboxPrefix(topology.InboxPrefix(user)),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return attacker{t, conn}
}

// send publishes, with a reply subject if one is given, and reports whether the server permits it.
func (a attacker) send(subject, reply string, body any, headers ...string) bool {
	a.t.Helper()
	msg := &nats.Msg{Subject: subject, Reply: reply, Header: nats.Header{}}
	switch b := body.(type) {
	case nil:
	case []byte:
		msg.Data = b
	default:
		data, err := json.Marshal(b)
		require.NoError(a.t, err)
		msg.Data = data
	}
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Add(headers[i], headers[i+1])
	}
	require.NoError(a.t, a.conn.PublishMsg(msg))
	// A refusal arrives before the answer to the flush.
	require.NoError(a.t, a.conn.FlushTimeout(time.Minute))
	last := a.conn.LastError()
	return last == nil || !strings.Contains(last.Error(), "\""+subject+"\"")
}

// request returns the server's error for a request that is permitted; "" for none.
func (a attacker) request(subject string, body []byte, headers ...string) string {
	a.t.Helper()
	msg := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{}}
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Add(headers[i], headers[i+1])
	}
	answer, err := a.conn.RequestMsg(msg, 10*time.Second)
	if err != nil {
		return err.Error()
	}
	var said struct {
		Error *jetstream.APIError `json:"error"`
	}
	require.NoError(a.t, json.Unmarshal(answer.Data, &said))
	if said.Error == nil {
		return ""
	}
	return said.Error.Description
}

// attacked is a deployed server whose streams the test reads as an administrator. Administrators are not part of the
// permissions.
type attacked struct {
	*server.Server
	t *testing.T
	// users by name.
	ingestion, push, pull, reconciliation *mesh.Mesh
}

func underAttack(t *testing.T, file string) attacked {
	t.Helper()
	srv := deployedWith(t, file)
	a := attacked{Server: srv, t: t}
	for user, m := range map[string]**mesh.Mesh{
		topology.Ingestion: &a.ingestion, topology.Push: &a.push, topology.Pull: &a.pull,
		topology.Reconciliation: &a.reconciliation,
	} {
		var err error
		*m, err = mesh.Connect(t.Context(), as(t, srv, user, os.Getenv("NATS_TLS_CERT")))
		require.NoError(t, err)
		t.Cleanup((*m).Close)
	}
	fence, err := a.ingestion.Fence(t.Context(), "default")
	require.NoError(t, err)
	require.NoError(t, fence.Raise(t.Context()))
	require.NoError(t, fence.Publish(t.Context(), topology.Live, []mesh.Outgoing{
		{
			Subject: topology.CatalogSubject("default", topology.Live, "mug"),
			Body:    meshtest.Change("mug", 7),
			Version: 7,
		},
		{
			Subject: topology.CatalogSubject("default", topology.Live, "cap"),
			Body:    meshtest.Change("cap", 7),
			Version: 7,
		},
	}))
	return a
}

// state returns the state of a stream, read on the server itself.
func (a attacked) state(stream string) server.StreamState {
	a.t.Helper()
	state, ok := a.lookup(stream)
	require.True(a.t, ok, "there is no stream %s", stream)
	return state
}

// inAnHour returns a schedule that is due in an hour.
func inAnHour() string { return "@at " + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) }

func (a attacked) exists(stream string) bool {
	a.t.Helper()
	_, ok := a.lookup(stream)
	return ok
}

func (a attacked) lookup(stream string) (state server.StreamState, ok bool) {
	a.t.Helper()
	jsz, err := a.Jsz(&server.JSzOptions{Account: "DRIFTLESS", Streams: true})
	require.NoError(a.t, err)
	for _, account := range jsz.AccountDetails {
		for _, s := range account.Streams {
			if s.Name == stream {
				return s.State, true
			}
		}
	}
	return state, false
}

// consumers returns the number of a stream's consumers, read on the server itself.
func (a attacked) consumers(stream string) int { return a.state(stream).Consumers }

// becomes reports whether a condition becomes true within some time. The server works in the background, so nothing
// signals that it never will.
func becomes(now func() bool) bool {
	for range 50 {
		if now() {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// stores reports whether the server stores a message in a stream because of act.
func (a attacked) stores(stream string, act func()) bool {
	a.t.Helper()
	before := a.state(stream).LastSeq
	act()
	return becomes(func() bool { return a.state(stream).LastSeq > before })
}

// forged returns a product change with a version above any other.
func forged(t *testing.T, product string) []byte {
	t.Helper()
	body, err := proto.Marshal(meshtest.Change(product, 1<<60))
	require.NoError(t, err)
	return body
}

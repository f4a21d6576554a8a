package mesh

import (
	"context"
	"io"
	"net"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// farAway connects to a server over a line with the given delay in each direction.
type farAway struct {
	address string
	delay   time.Duration
}

func (f farAway) InProcessConn() (net.Conn, error) {
	server, err := net.Dial("tcp", f.address)
	if err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	go late(server, there, f.delay)
	go late(there, server, f.delay)
	return here, nil
}

func late(to, from net.Conn, delay time.Duration) {
	type piece struct {
		data []byte
		due  time.Time
	}
	pieces := make(chan piece, 10_000)
	go func() {
		defer close(pieces)
		for {
			buffer := make([]byte, 32<<10)
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			pieces <- piece{buffer[:n], time.Now().Add(delay)}
		}
	}()
	defer to.Close()
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.data); err != nil {
			_, _ = io.Copy(io.Discard, from)
			return
		}
	}
}

func pulling(t *testing.T, way func(u *url.URL) nats.InProcessConnProvider) (js jetstream.JetStream, p *puller) {
	t.Helper()
	server, conn := localtest.NATS(t)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	require.NoError(t, topology.Apply(t.Context(), js, topology.Options{}))
	u, err := url.Parse(server)
	require.NoError(t, err)
	m, err := Connect(t.Context(), Config{URL: server, Name: "test", InProcess: way(u)})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	p = m.puller(topology.PushLive)
	t.Cleanup(p.drop)
	return js, p
}

// A puller that considers a request lost before its answer can arrive would ask for ever.
func TestPuller_ReceivesEachMessageOnceOverSlowLine(t *testing.T) {
	t.Parallel()
	js, p := pulling(t, func(u *url.URL) nats.InProcessConnProvider { return farAway{u.Host, 300 * time.Millisecond} })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// In doubt, several requests are in flight before the first answer.
	p.doubt()
	for i := range 6 {
		_, err := js.Publish(ctx, "catalog.default.live.p"+strconv.Itoa(i), nil)
		require.NoError(t, err)
	}
	seen := map[string]uint64{}
	for len(seen) < 6 {
		msg, err := p.next(ctx)
		require.NoError(t, err)
		seen[msg.Subject()]++
		require.NoError(t, msg.Ack())
	}
	for subject, n := range seen {
		require.EqualValues(t, 1, n, subject)
	}
	require.Eventually(t, func() bool {
		cons, err := js.Consumer(ctx, topology.StreamCatalog, topology.PushLive.Durable(topology.DefaultAccount))
		return err == nil && cons.CachedInfo().NumAckPending == 0
	}, 30*time.Second, 20*time.Millisecond, "nothing stays in flight")
}

func TestPuller_ContinuesAfterIdleTime(t *testing.T) {
	t.Parallel()
	js, p := pulling(t, func(*url.URL) nats.InProcessConnProvider { return nil })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	came := make(chan error, 1)
	go func() {
		msg, err := p.next(ctx)
		if err == nil {
			err = msg.TermWithReason("seen")
		}
		came <- err
	}()
	// Longer than two heartbeats: those that arrive keep the request open.
	localtest.Holds(t, 3*pullHeartbeat, func() bool { return len(came) == 0 }, "there is no message")
	_, err := js.Publish(ctx, "catalog.default.live.p", nil)
	require.NoError(t, err)
	require.NoError(t, <-came)

	ended, end := context.WithCancel(ctx)
	end()
	_, err = p.next(ended)
	require.ErrorIs(t, err, context.Canceled)

	go func() {
		_, err := p.next(ctx)
		came <- err
	}()
	require.Eventually(t, func() bool {
		cons, err := js.Consumer(ctx, topology.StreamCatalog, topology.PushLive.Durable(topology.DefaultAccount))
		return err == nil && cons.CachedInfo().NumWaiting > 0
	}, 30*time.Second, 20*time.Millisecond)
	require.NoError(t,
		js.DeleteConsumer(ctx, topology.StreamCatalog, topology.PushLive.Durable(topology.DefaultAccount)))
	err = <-came
	require.True(t, isGone(err), "%v", err)
}

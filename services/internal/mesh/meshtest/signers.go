package meshtest

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/signing"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Signers are the services of a mesh with signed messages, and their keys.
type Signers struct {
	URL string
	// Keys and Clients are by the names of the services.
	Keys    map[string]signing.PrivateKey
	Clients map[string]*mesh.Mesh
	// Trusted is the setting of all readers.
	Trusted string
	// Outside is a client without keys that may publish anything.
	Outside *mesh.Mesh
}

var services = []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation}

// NewSigners starts a NATS server with the topology, and connects every service with a key of its own.
func NewSigners(t *testing.T) *Signers {
	t.Helper()
	s := &Signers{Keys: map[string]signing.PrivateKey{}, Clients: map[string]*mesh.Mesh{}}
	s.URL, _ = localtest.NATS(t)
	var trusted []string
	for _, name := range services {
		s.Keys[name] = NewKey(t)
		trusted = append(trusted, name+"="+s.Keys[name].Public().String())
	}
	s.Trusted = strings.Join(trusted, ",")
	s.Outside = s.Connect(t, "test", mesh.Signing{})
	require.NoError(t, topology.Apply(t.Context(), s.Outside.JetStream(), topology.Options{}))
	for _, name := range services {
		s.Clients[name] = s.Connect(t, name, mesh.Signing{Key: s.Keys[name].Reveal(), Trusted: s.Trusted})
	}
	return s
}

// NewKey returns a new signing key.
func NewKey(t *testing.T) signing.PrivateKey {
	t.Helper()
	key, err := signing.Create()
	require.NoError(t, err)
	return key
}

// Connect connects a client with the given keys.
func (s *Signers) Connect(t *testing.T, name string, keys mesh.Signing) *mesh.Mesh {
	t.Helper()
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: s.URL, Name: name, Signing: keys})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	return m
}

// SignedAs returns a message as the holder of a key could make it.
func SignedAs(t *testing.T, key signing.PrivateKey, role, subject string, body proto.Message, at time.Time,
	headers ...string,
) *nats.Msg {
	t.Helper()
	msg := Unsigned(t, subject, body, headers...)
	msg.Header.Set(mesh.SignatureHeader, key.Sign(role, signing.Message{
		Subject: subject, ID: msg.Header.Get(jetstream.MsgIDHeader), Version: msg.Header.Get(mesh.VersionHeader),
		Body: msg.Data,
	}, at, 0))
	return msg
}

// Unsigned returns a message without a signature. The headers are names and values in turn.
func Unsigned(t *testing.T, subject string, body proto.Message, headers ...string) *nats.Msg {
	t.Helper()
	data, err := proto.Marshal(body)
	require.NoError(t, err)
	msg := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
	for i := 0; i+1 < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	return msg
}

// Put stores messages unchanged.
func (s *Signers) Put(t *testing.T, msgs ...*nats.Msg) (last *jetstream.PubAck) {
	t.Helper()
	for _, msg := range msgs {
		var err error
		last, err = s.Outside.JetStream().PublishMsg(t.Context(), msg)
		require.NoError(t, err)
	}
	return last
}

// Again returns a stored message, to be published again.
func (s *Signers) Again(t *testing.T, stream string, sequence uint64) *nats.Msg {
	t.Helper()
	from, err := s.Outside.JetStream().Stream(t.Context(), stream)
	require.NoError(t, err)
	raw, err := from.GetMsg(t.Context(), sequence)
	require.NoError(t, err)
	header := nats.Header{}
	for name, values := range raw.Header {
		if strings.HasPrefix(name, "Driftless-") || name == jetstream.MsgIDHeader {
			header[name] = values
		}
	}
	return &nats.Msg{Subject: raw.Subject, Data: raw.Data, Header: header}
}

// HighVersion is a version above all others of a test.
const HighVersion = 1 << 60

// ForgedStates returns messages on CATALOG that only ingestion could publish, and that ingestion did not publish.
func (s *Signers) ForgedStates(t *testing.T, subject string) map[string]*nats.Msg {
	t.Helper()
	forged, now := Change("mug", HighVersion), time.Now()
	version := []string{mesh.VersionHeader, strconv.FormatUint(HighVersion, 10)}
	other := SignedAs(t, s.Keys[topology.Ingestion], topology.Ingestion, "catalog.default.live.cap", forged, now,
		version...)
	other.Subject = subject
	raised := SignedAs(t, s.Keys[topology.Ingestion], topology.Ingestion, subject, Change("mug", 5), now,
		mesh.VersionHeader, "5")
	raised.Header.Set(mesh.VersionHeader, version[1])
	emptied := SignedAs(t, s.Keys[topology.Ingestion], topology.Ingestion, subject, forged, now, version...)
	emptied.Data = nil
	return map[string]*nats.Msg{
		"not signed": Unsigned(t, subject, forged, version...),
		"signed with an unknown key": SignedAs(t, NewKey(t), topology.Ingestion, subject, forged, now,
			version...),
		"signed by pull as pull": SignedAs(t, s.Keys[topology.Pull], topology.Pull, subject, forged, now,
			version...),
		"signed by pull as ingestion": SignedAs(t, s.Keys[topology.Pull], topology.Ingestion, subject, forged,
			now, version...),
		"signed by reconciliation": SignedAs(t, s.Keys[topology.Reconciliation], topology.Reconciliation,
			subject, forged, now, version...),
		"an authentic one of another product": other,
		"an authentic one with more version":  raised,
		"an authentic one without its body":   emptied,
		"headers of a missing message": Unsigned(t, subject, &catalogv1.ProductChange{}, "Status", "404",
			"Description", "Message Not Found"),
		"headers of no stream": Unsigned(t, subject, &catalogv1.ProductChange{}, "Status", "503"),
		"headers of the end of a batch": Unsigned(t, subject, &catalogv1.ProductChange{}, "Status", "204",
			"Description", "EOB", "Nats-Num-Pending", "0"),
		"headers of another message": Unsigned(t, subject, forged, "Nats-Subject", "catalog.default.live.cap",
			"Nats-Sequence", "1",
			"Nats-Stream", "CATALOG", "Nats-Time-Stamp", "yesterday", mesh.VersionHeader, version[1]),
	}
}

package mesh_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// certificate creates a self-signed certificate for 127.0.0.1, and returns its file and that of its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "driftless"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = dir+"/tls.crt", dir+"/tls.key"
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes}), 0o600))
	return cert, key
}

func TestConnect_UsesClientCertificate(t *testing.T) {
	cert, key := certificate(t)
	clientCert, clientKey := certificate(t)
	srv := localtest.NATSConfig(t, `tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }`, cert, key,
		clientCert)
	good := mesh.Config{URL: srv.ClientURL(), Name: "test", CA: cert, Cert: clientCert, Key: clientKey}
	m, err := mesh.Connect(t.Context(), good)
	require.NoError(t, err)
	m.Close()
	for name, c := range map[string]struct {
		change func(*mesh.Config)
		says   string
	}{
		"no client certificate":    {func(c *mesh.Config) { c.Cert, c.Key = "", "" }, "cannot reach NATS"},
		"another authority":        {func(c *mesh.Config) { c.CA = clientCert }, "certificate"},
		"a certificate alone":      {func(c *mesh.Config) { c.Key = "" }, "NATS_CERT and NATS_KEY belong together"},
		"a file that is not there": {func(c *mesh.Config) { c.CA = "/nowhere.pem" }, "NATS_CA: open /nowhere.pem"},
		"creds and nkey": {
			func(c *mesh.Config) { c.Creds, c.NKey = cert, cert },
			"both NATS_CREDS and NATS_NKEY",
		},
		"an nkey that is none": {func(c *mesh.Config) { c.NKey = cert }, "NATS_NKEY"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			c.change(&cfg)
			_, err := mesh.Connect(t.Context(), cfg)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestConnect_UsesNKey(t *testing.T) {
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := user.PublicKey()
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	srv := localtest.NATSConfig(t, `accounts { D { jetstream: enabled, users: [ { nkey: %s } ] } }`, public)
	path := file(t, "push.nk")
	require.NoError(t, os.WriteFile(path, seed, 0o600))
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: srv.ClientURL(), Name: topology.Push, NKey: path})
	require.NoError(t, err)
	m.Close()
}

// The test writes the file again and revokes the old user. The client reconnects as the new one.
func TestConnect_RereadsCredentials(t *testing.T) {
	operator, err := nkeys.CreateOperator()
	require.NoError(t, err)
	account, err := nkeys.CreateAccount()
	require.NoError(t, err)
	system, err := nkeys.CreateAccount()
	require.NoError(t, err)
	public := func(k nkeys.KeyPair) string {
		p, err := k.PublicKey()
		require.NoError(t, err)
		return p
	}
	operatorJWT, err := jwt.NewOperatorClaims(public(operator)).Encode(operator)
	require.NoError(t, err)
	claims := jwt.NewAccountClaims(public(account))
	claims.Name = "DRIFTLESS"
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	accountJWT, err := claims.Encode(operator)
	require.NoError(t, err)
	systemJWT, err := jwt.NewAccountClaims(public(system)).Encode(operator)
	require.NoError(t, err)
	// creds creates a user and its credentials file.
	creds := func() (user string, content []byte) {
		pair, err := nkeys.CreateUser()
		require.NoError(t, err)
		token, err := jwt.NewUserClaims(public(pair)).Encode(account)
		require.NoError(t, err)
		seed, err := pair.Seed()
		require.NoError(t, err)
		content, err = jwt.FormatUserConfig(token, seed)
		require.NoError(t, err)
		return public(pair), content
	}
	srv := localtest.NATSConfig(t, `operator: %s
		system_account: %s
		resolver: MEMORY
		resolver_preload: { %s: %s, %s: %s }`, operatorJWT, public(system), public(account), accountJWT, public(system),
		systemJWT)

	path := file(t, "push.creds")
	old, content := creds()
	require.NoError(t, os.WriteFile(path, content, 0o600))
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: srv.ClientURL(), Name: topology.Push, Creds: path})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.Equal(t, old, connected(t, srv))

	replacement, content := creds()
	require.NoError(t, os.WriteFile(path, content, 0o600))
	claims.Revoke(old)
	revoked, err := claims.Encode(operator)
	require.NoError(t, err)
	acc, err := srv.LookupAccount(public(account))
	require.NoError(t, err)
	parsed, err := jwt.DecodeAccountClaims(revoked)
	require.NoError(t, err)
	srv.UpdateAccountClaims(acc, parsed)
	require.Eventually(t, func() bool { return connected(t, srv) == replacement && m.Ready(t.Context()) == nil },
		3*time.Minute, 10*time.Millisecond,
		"the client does not come back with the new credentials")
	_, err = m.JetStream().AccountInfo(t.Context())
	require.NoError(t, err)
}

// connected returns the user of the one connection; "" if there is none.
func connected(t *testing.T, srv *server.Server) string {
	t.Helper()
	z, err := srv.Connz(&server.ConnzOptions{Username: true})
	require.NoError(t, err)
	if len(z.Conns) != 1 {
		return ""
	}
	return fmt.Sprint(z.Conns[0].AuthorizedUser)
}

package signing_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/driftless-sync/driftless/services/internal/signing"
)

var roles = []string{"ingestion", "push"}

func create(t testing.TB) signing.PrivateKey {
	t.Helper()
	key, err := signing.Create()
	require.NoError(t, err)
	return key
}

func TestKeys_TextFormIsReadBack(t *testing.T) {
	key := create(t)
	again, err := signing.ParsePrivate(key.Reveal() + "\n")
	require.NoError(t, err)
	require.Equal(t, key.Public(), again.Public())
	public, err := signing.ParsePublic(key.Public().String())
	require.NoError(t, err)
	require.Equal(t, key.Public(), public)
}

func TestKeys_WrongTextIsRefusedAndNotQuoted(t *testing.T) {
	key := create(t)
	private, public := key.Reveal(), key.Public().String()
	for name, err := range map[string]error{
		"a public key":     second(signing.ParsePrivate(public)),
		"a signing key":    second(signing.ParsePublic(private)),
		"half of it":       second(signing.ParsePrivate(private[:len(private)-5])),
		"another letter":   second(signing.ParsePrivate(strings.Replace(private, private[30:31], "_", 1))),
		"a seed of NATS":   second(signing.ParsePrivate("SUAM7FZ")),
		"nothing":          second(signing.ParsePublic("")),
		"a trusted secret": second(signing.ParseTrusted("ingestion="+private, roles)),
	} {
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), private[len("driftless_signing_key_v1_"):len(private)-8], name)
	}
}

func second[T any](_ T, err error) error { return err }

func TestPrivateKey_IsNeverPrinted(t *testing.T) {
	key := create(t)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key, "in", struct{ K signing.PrivateKey }{key})
	for _, text := range []string{
		fmt.Sprint(key), fmt.Sprintf("%v %+v %#v %s %x", key, key, key, key, key),
		log.String(),
	} {
		require.NotContains(t, text, key.Reveal())
		require.Contains(t, text, "redacted")
	}
}

// TestVerify_AcceptsExactlyWhatWasSigned changes one part of a signed message at a time.
func TestVerify_AcceptsExactlyWhatWasSigned(t *testing.T) {
	key, other := create(t), create(t)
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringN(0, 20, -1)
		m := signing.Message{
			Subject: text.Draw(rt, "subject"), ID: text.Draw(rt, "id"), Version: text.Draw(rt, "version"),
			Body: rapid.SliceOf(rapid.Byte()).Draw(rt, "body"),
		}
		at := time.UnixMilli(rapid.Int64Range(1, 1<<42).Draw(rt, "at"))
		signature := key.Sign("ingestion", m, at, 9)
		trusted := signing.Trusted{"ingestion": {other.Public(), key.Public()}, "push": {other.Public()}}
		s, err := trusted.Verify(signature, m)
		require.NoError(rt, err)
		require.Equal(rt, "ingestion", s.Role)
		require.Equal(rt, key.Public().ID(), s.Key)
		require.True(rt, s.At.Equal(at))
		require.EqualValues(rt, 9, s.After)

		changed, signed := m, signature
		switch rapid.IntRange(0, 7).Draw(rt, "change") {
		case 0:
			changed.Subject += "x"
		case 1:
			changed.ID += "x"
		case 2:
			changed.Version += "x"
		case 3:
			changed.Body = append(slices.Clip(changed.Body), 'x')
		case 4:
			// The end of one part begins the next.
			changed.Subject, changed.ID = m.Subject+"x", strings.TrimPrefix(m.ID, "x")
		case 5:
			signed = strings.Replace(signature, " ingestion ", " push ", 1)
		case 6:
			parts := strings.Split(signature, " ")
			parts[rapid.SampledFrom([]int{3, 4}).Draw(rt, "number")] += "0"
			signed = strings.Join(parts, " ")
		case 7:
			signed = other.Sign("push", m, at, 9)
			trusted = signing.Trusted{"ingestion": {other.Public()}}
		}
		_, err = trusted.Verify(signed, changed)
		require.Error(rt, err)
	})
}

func TestVerify_SaysWhy(t *testing.T) {
	key, other := create(t), create(t)
	m := signing.Message{Subject: "catalog.default.live.mug", Body: []byte("x")}
	trusted, err := signing.ParseTrusted("ingestion="+key.Public().String()+", push="+other.Public().String(), roles)
	require.NoError(t, err)
	for text, want := range map[string]error{
		"":                        signing.ErrUnsigned,
		"v1 ingestion":            signing.ErrMalformed,
		"v2 ingestion k 1 1 AAAA": signing.ErrMalformed,
		other.Sign("ingestion", m, time.Now(), 0): signing.ErrUnknownKey,
		key.Sign("ingestion", signing.Message{Subject: "catalog.default.live.cap", Body: []byte("x")}, time.Now(),
			0): signing.ErrInvalid,
	} {
		_, err := trusted.Verify(text, m)
		require.ErrorIs(t, err, want, text)
	}
}

func TestParseTrusted_KeyWithoutRoleCountsForAll(t *testing.T) {
	key := create(t)
	m := signing.Message{Subject: "s"}
	trusted, err := signing.ParseTrusted(key.Public().String()+"\n", roles)
	require.NoError(t, err)
	_, err = trusted.Verify(key.Sign("push", m, time.Now(), 0), m)
	require.NoError(t, err)
	require.True(t, trusted.Trusts("ingestion", key.Public()))
	_, err = signing.ParseTrusted("billing="+key.Public().String(), roles)
	require.ErrorContains(t, err, "none of the services ingestion, push")
}

func FuzzVerify(f *testing.F) {
	key := create(f)
	m := signing.Message{Subject: "s", Body: []byte("b")}
	good := key.Sign("ingestion", m, time.UnixMilli(7), 9)
	f.Add(good)
	f.Add("v1 ingestion k 1 1 AAAA")
	trusted := signing.Trusted{"ingestion": {key.Public()}}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := trusted.Verify(text, m); err == nil && text != good {
			// Only another spelling of the time can be the same signature.
			s, _ := signing.Parse(text)
			require.True(t, s.At.Equal(time.UnixMilli(7)))
		}
	})
}

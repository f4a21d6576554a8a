package redact

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestURL_HidesSecrets(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"postgres": {
			"postgres://app:hush@db:5432/shop?sslmode=disable",
			"postgres://app:xxxxx@db:5432/shop?sslmode=disable",
		},
		"postgres without password": {"postgresql://app@db/shop", "postgresql://app@db/shop"},
		"postgres on several hosts": {
			"postgres://app:hu,sh@db1:5432,db2:5432/shop",
			"postgres://app:xxxxx@db1:5432,db2:5432/shop",
		},
		"password as a parameter": {"postgres://db/shop?password=hush&user=app", "postgres://db/shop?user=app"},
		"password of a key":       {"postgres://app@db/shop?sslkey=/key&sslpassword=hush", "postgres://app@db/shop"},
		"keywords": {
			"host=db port=5432 user=app password=hush dbname=shop",
			"host=db port=5432 user=app dbname=shop",
		},
		"keywords with quotes":      {`host = db password = 'hu\' host=hush' dbname='a b'`, "host=db dbname='a b'"},
		"keywords with a URL in it": {"host=db password=a://hush", "host=db"},
		"keywords that are no such": {"host=db password='hush", Hidden},
		"nats":                      {"nats://app:hush@n1:4222", "nats://app:xxxxx@n1:4222"},
		"nats token":                {"nats://hush@n1:4222", "nats://xxxxx@n1:4222"},
		"several nats servers": {
			"nats://a:hush@n1:4222, nats://b:hush@n2:4222,tls://hush@n3",
			"nats://a:xxxxx@n1:4222,nats://b:xxxxx@n2:4222,tls://xxxxx@n3",
		},
		"nats without scheme":        {"n1:4222,hush@n2:4222", "n1:4222,xxxxx@n2:4222"},
		"nats without secrets":       {"nats://127.0.0.1:4222", "nats://127.0.0.1:4222"},
		"a slash in the password":    {"postgres://app:12/hush@db/shop", Hidden},
		"a second @ and a slash":     {"postgres://app:h@12/hush@db/shop", Hidden},
		"a question mark in it":      {"postgres://app:12?hush@db/shop", Hidden},
		"a number sign in it":        {"postgres://app:12#hush@db/shop", Hidden},
		"a percent sign in it":       {"postgres://app:hu%sh@db/shop", Hidden},
		"a token of two parts":       {"nats://hush@x:y@n1:4222", Hidden},
		"a comma in that of a token": {"nats://a:hu,sh@n1:4222", Hidden + ",xxxxx@n1:4222"},
	} {
		t.Run(name, func(t *testing.T) {
			got := URL(c.in)
			require.Equal(t, c.want, got)
			require.NotContains(t, got, "hush")
		})
	}
}

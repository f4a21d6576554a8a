package redact

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWithoutPassword(t *testing.T) {
	for address, want := range map[string][2]string{
		"postgres://app:s3cret@db:5432/shop?sslmode=disable": {"postgres://app@db:5432/shop?sslmode=disable", "s3cret"},
		"postgresql://app:p%40ss%2Fw@db/shop":                {"postgresql://app@db/shop", "p@ss/w"},
		"postgres://app@db/shop":                             {"postgres://app@db/shop", ""},
		"postgres://db/shop?password=s3cret&user=app":        {"postgres://db/shop?user=app", "s3cret"},
		"host=db user=app password=s3cret dbname=shop":       {"host=db user=app dbname=shop", "s3cret"},
		`host=db password='it\'s a \\ one' dbname='my shop'`: {"host=db dbname='my shop'", `it's a \ one`},
		`host=db password=a\ b`:                              {"host=db", "a b"},
		"postgres://db/shop?password=x&options=-c%20a%3Db":   {"postgres://db/shop?options=-c%20a%3Db", "x"},
		"postgres://app:x@db/shop?sslpassword=y":             {"", ""},
		"host=db password=x sslpassword=y":                   {"", ""},
		"host=db user=app":                                   {"host=db user=app", ""},
		"postgres://app:s3cret@db:port/shop":                 {"", ""},
		"host=db password='s3cret":                           {"", ""},
	} {
		shown, password, ok := WithoutPassword(address)
		require.Equal(t, want[0] != "", ok, address)
		require.Equal(t, want, [2]string{shown, password}, address)
	}
}

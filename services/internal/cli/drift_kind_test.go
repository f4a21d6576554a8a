package cli

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// A kind that is missing in the tag could not be listed by --kind.
func TestDriftListCmd_KnowsEveryKind(t *testing.T) {
	t.Parallel()
	field, ok := reflect.TypeFor[driftListCmd]().FieldByName("Kind")
	require.True(t, ok)
	require.ElementsMatch(t, catalog.KindNames(), strings.Split(field.Tag.Get("enum"), ","))
	require.Contains(t, field.Tag.Get("help"), strings.Join(catalog.KindNames(), ", "))
}

func TestProductFilter_KnowsEveryKindOfDrift(t *testing.T) {
	t.Parallel()
	field, ok := reflect.TypeFor[productFilter]().FieldByName("DriftKind")
	require.True(t, ok)
	require.ElementsMatch(t, catalog.KindNames(), strings.Split(field.Tag.Get("enum"), ","))
	require.Contains(t, field.Tag.Get("help"), strings.Join(catalog.KindNames(), ", "))
}

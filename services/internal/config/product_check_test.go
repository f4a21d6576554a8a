package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const checksOfBuiltIn = `
catalog:
  checks:
    - name: margin
      query: SELECT product, id FROM driftless.prices WHERE unit_amount < 100
      message: margin below 10 percent
    - {name: euro, query: SELECT id FROM driftless.products, message: no price in EUR, severity: refuse, on_error: hold}
`

func TestChecks_WorkWithTheBuiltInTables(t *testing.T) {
	_, m, err := parse(t, checksOfBuiltIn)
	require.NoError(t, err)
	require.True(t, m.IsBuiltIn())
	require.Len(t, m.Checks, 2)
	margin, euro := m.Checks[0], m.Checks[1]
	require.Equal(t, ProductCheck{
		Name:    "margin",
		Query:   "SELECT product, id FROM driftless.prices WHERE unit_amount < 100",
		Message: "margin below 10 percent",
	}, margin)
	require.False(t, margin.Refuses())
	require.False(t, margin.HoldsOnError())
	require.True(t, euro.Refuses())
	require.True(t, euro.HoldsOnError())
	require.NoError(t, m.CheckWriteBack("name"), "the built-in tables can be written back")
	require.NoError(t, m.CheckImport())

	_, _, err = parse(t, checksOfBuiltIn+"  prices: SELECT 1\n")
	require.ErrorContains(t, err, "products must be a query", "a part of a mapping")
	_, _, err = parse(t, "catalog: {}\n")
	require.ErrorContains(t, err, "products must be a query")
}

func TestChecks_OfAnAccountReplaceTheShared(t *testing.T) {
	t.Setenv("DRIFTLESS_ACCOUNT", "eu")
	_, m, err := parse(t, checksOfBuiltIn+"accounts: {eu: {catalog: {checks: [{name: own, query: SELECT 'a', message: no}]}}}\n")
	require.NoError(t, err)
	require.Len(t, m.Checks, 1)
	require.Equal(t, "own", m.Checks[0].Name)
}

func TestChecks_RefuseFaultsWithLineAndKey(t *testing.T) {
	for wrong, want := range map[string]string{
		"name: a\n      query: SELECT 1":                                                 ":3:7: catalog: checks[0].message: must say",
		"query: SELECT 1\n      message: x":                                              ":3:7: catalog: checks[0].name: must be set",
		"name: Not Good\n      query: SELECT 1\n      message: x":                        ":3:7: catalog: checks[0].name: must be 1 to 40 lower-case letters",
		"name: a\n      query: ' ; '\n      message: x":                                  ":4:7: catalog: checks[0].query: must be a query",
		"name: a\n      message: x":                                                      ":3:7: catalog: checks[0].query: must be a query",
		"name: a\n      query: SELECT 1\n      message: x\n      severity: warn":         `:6:7: catalog: checks[0].severity: must be hold or refuse, not "warn"`,
		"name: a\n      query: SELECT 1\n      message: x\n      on_error: refuse":       `:6:7: catalog: checks[0].on_error: must be ignore or hold, not "refuse"`,
		"name: a\n      query: SELECT 1\n      message: x\n      serverity: hold":        `:6:7: catalog: unknown field "serverity"`,
		"{name: a, query: q, message: x}\n    - {name: a, query: q, message: x}":         `:4:8: catalog: checks[1].name: "a" is also the name of checks[0]`,
		"name: a\n      query: SELECT 1\n      message: " + strings.Repeat("x", 501):     ":5:7: catalog: checks[0].message: must have at most 500 bytes",
		"name: a\n      query: [SELECT 1]\n      message: x":                             ":4:",
		"name: " + strings.Repeat("a", 41) + "\n      query: SELECT 1\n      message: x": ":3:7: catalog: checks[0].name: must be 1 to 40",
	} {
		_, _, err := parse(t, "catalog:\n  checks:\n    - "+wrong+"\n")
		require.ErrorContains(t, err, "driftless.yaml", wrong)
		require.ErrorContains(t, err, want, wrong)
	}
	var many strings.Builder
	for i := range 51 {
		fmt.Fprintf(&many, "    - {name: c%d, query: SELECT 1, message: x}\n", i)
	}
	_, _, err := parse(t, "catalog:\n  checks:\n"+many.String())
	require.ErrorContains(t, err, "there may be at most 50 checks")
}

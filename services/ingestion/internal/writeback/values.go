package writeback

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/ingestion/internal/row"
)

// columns has the columns of the mapping's two queries.
type columns struct{ products, prices []string }

// productRow returns the row of a product as wanted. It is the row that the mapping reads now, with new values in the
// columns that differ. So a value that does not change keeps its form. Without a row it is a new one.
func productRow(present mapping.Row, want *catalogv1.Product, diffs []difference, of []string) (mapping.Row, error) {
	return applyChanges(present, row.FromProduct(want), want.GetMetadata(), diffs, of)
}

// priceRow is the same as productRow for one of a product's prices.
func priceRow(present mapping.Row, want *catalogv1.Price, product string, diffs []difference,
	of []string,
) (mapping.Row, error) {
	return applyChanges(present, row.FromPrice(want, product), want.GetMetadata(), diffs, of)
}

func applyChanges(present mapping.Row, want any, metadata map[string]string, diffs []difference,
	of []string,
) (mapping.Row, error) {
	all, err := rowOf(want)
	if err != nil {
		return nil, err
	}
	if slices.Contains(of, "unit_amount") != slices.Contains(of, "unit_amount_decimal") {
		// One of the two columns has the amount.
		for _, pair := range [][2]string{
			{"unit_amount", "unit_amount_decimal"},
			{"unit_amount_decimal", "unit_amount"},
		} {
			if all[pair[0]] == nil {
				all[pair[0]] = all[pair[1]]
			}
		}
	}
	if all["marketing_features"], err = formatFeatures(present["marketing_features"],
		all["marketing_features"]); err != nil {
		return nil, err
	}
	if present == nil {
		return all, nil
	}
	out := maps.Clone(present)
	for _, d := range diffs {
		switch d.column {
		case "":
			// The price as a whole differs.
			return all, nil
		case "metadata":
			if out["metadata"], err = withKey(out["metadata"], d.key, metadata); err != nil {
				return nil, err
			}
		case "unit_amount", "unit_amount_decimal":
			out["unit_amount"], out["unit_amount_decimal"] = all["unit_amount"], all["unit_amount_decimal"]
		default:
			out[d.column] = all[d.column]
		}
	}
	return out, nil
}

// amountColumns have the same value. A query returns one of them, or both.
var amountColumns = []string{"unit_amount", "unit_amount_decimal"}

// changedColumns returns the columns and keys that differ, in the form of @changed.
func changedColumns(diffs []difference) []string {
	var out []string
	for _, d := range diffs {
		columns := []string{d.column}
		if slices.Contains(amountColumns, d.column) {
			columns = amountColumns
		}
		if d.key != "" {
			columns = append(columns, d.column+"."+d.key)
		}
		for _, c := range columns {
			if !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}

// rowOf returns the columns of a row of package row as text.
func rowOf(v any) (mapping.Row, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode a row: %w", err)
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(data, &values); err != nil {
		return nil, fmt.Errorf("encode a row: %w", err)
	}
	out := mapping.Row{}
	for column, value := range values {
		text := string(value)
		if value[0] == '"' {
			if err := json.Unmarshal(value, &text); err != nil {
				return nil, fmt.Errorf("encode column %s: %w", column, err)
			}
		}
		if text != "null" || value[0] == '"' {
			out[column] = &text
		}
	}
	return out, nil
}

// withKey returns a JSON object with one key set as in metadata, or removed. The other keys stay as they are.
func withKey(object *string, key string, metadata map[string]string) (*string, error) {
	values := map[string]json.RawMessage{}
	if object != nil {
		if err := json.Unmarshal([]byte(*object), &values); err != nil {
			return nil, fmt.Errorf("read column metadata: %w", err)
		}
	}
	delete(values, key)
	if value, ok := metadata[key]; ok {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("encode metadata %s: %w", key, err)
		}
		values[key] = text
	}
	out, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("encode metadata: %w", err)
	}
	return new(string(out)), nil
}

// formatFeatures returns a list of features as objects with a name, as Stripe does. It returns strings if the present
// list has strings.
func formatFeatures(present, features *string) (*string, error) {
	var strings []string
	if features == nil || present != nil && json.Unmarshal([]byte(*present), &strings) == nil && len(strings) > 0 {
		return features, nil
	}
	names, err := namesOf(*features)
	if err != nil {
		return nil, err
	}
	type feature struct {
		Name string `json:"name"`
	}
	objects := make([]feature, len(names))
	for i, name := range names {
		objects[i] = feature{name}
	}
	out, err := json.Marshal(objects)
	if err != nil {
		return nil, fmt.Errorf("encode marketing_features: %w", err)
	}
	return new(string(out)), nil
}

package catalog

import (
	"maps"
	"slices"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

func priceMetadata(p *catalogv1.Price) map[string]string {
	m := make(map[string]string, len(p.GetMetadata())+1)
	maps.Copy(m, p.GetMetadata())
	m[PriceMarker] = p.GetId()
	return m
}

// metadataChanges sets the keys that differ. With remove, it also clears managed keys that are no longer wanted. Stripe
// merges by key, so other keys stay.
func metadataChanges(want, have map[string]string, managed []string, remove bool) []setting {
	var out []setting
	for k, v := range want {
		if have[k] != v {
			out = append(out, newSetting(v, "metadata", k))
		}
	}
	if !remove {
		return out
	}
	for _, k := range managed {
		_, wanted := want[k]
		if _, held := have[k]; held && !wanted && k != AbsenceMarker {
			out = append(out, newSetting("", "metadata", k))
		}
	}
	return out
}

func managedAfter(want map[string]string, before []string, managed bool) []string {
	if !managed {
		return before
	}
	return slices.Sorted(maps.Keys(want))
}

package view

import controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"

// IsKnown reports whether an answer that rests on e says what is so now.
func IsKnown(e *controlv1.Equality) bool { return e.GetAsOf() != nil && e.GetUnknown() == "" }

package jaeger

import (
	"fmt"
	"slices"
	"time"
)

// wireTrace is a trace as Jaeger encodes it.
type wireTrace struct {
	TraceID string `json:"traceID"`
	Spans   []struct {
		TraceID       string `json:"traceID"`
		SpanID        string `json:"spanID"`
		OperationName string `json:"operationName"`
		References    []struct {
			RefType string `json:"refType"`
			TraceID string `json:"traceID"`
			SpanID  string `json:"spanID"`
		} `json:"references"`
		// Microseconds.
		StartTime int64     `json:"startTime"`
		Duration  int64     `json:"duration"`
		Tags      []wireTag `json:"tags"`
		ProcessID string    `json:"processID"`
	} `json:"spans"`
	Processes map[string]struct {
		ServiceName string `json:"serviceName"`
	} `json:"processes"`
}

type wireTag struct {
	Key   string `json:"key"`
	Type  string `json:"type"`
	Value any    `json:"value"`
}

func (t wireTag) text() string {
	if f, ok := t.Value.(float64); ok && t.Type == "int64" {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprint(t.Value)
}

func (t wireTrace) decode() *Trace {
	out := &Trace{ID: t.TraceID}
	for _, s := range t.Spans {
		span := &Span{
			ID:         s.SpanID,
			Service:    t.Processes[s.ProcessID].ServiceName,
			Name:       s.OperationName,
			Start:      time.UnixMicro(s.StartTime),
			Duration:   time.Duration(s.Duration) * time.Microsecond,
			Attributes: map[string]string{},
		}
		for _, tag := range s.Tags {
			span.Attributes[tag.Key] = tag.text()
		}
		for _, r := range s.References {
			// The parent is a reference. So is every link, even one within the trace.
			if r.RefType == "CHILD_OF" && r.TraceID == t.TraceID && span.Parent == "" {
				span.Parent = r.SpanID
				continue
			}
			span.Links = append(span.Links, Link{r.TraceID, r.SpanID})
		}
		out.Spans = append(out.Spans, span)
	}
	slices.SortStableFunc(out.Spans, func(a, b *Span) int { return a.Start.Compare(b.Start) })
	return out
}

package telemetry

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// configuredSampler returns the sampler of OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG, as OpenTelemetry defines
// them. Defaults to every trace that the caller has not decided to leave out.
func configuredSampler() (sdktrace.Sampler, error) {
	name := strings.ToLower(strings.TrimSpace(os.Getenv("OTEL_TRACES_SAMPLER")))
	switch name {
	case "", "parentbased_always_on":
		return sdktrace.ParentBased(sdktrace.AlwaysSample()), nil
	case "parentbased_always_off":
		return sdktrace.ParentBased(sdktrace.NeverSample()), nil
	case "always_on":
		return sdktrace.AlwaysSample(), nil
	case "always_off":
		return sdktrace.NeverSample(), nil
	case "traceidratio", "parentbased_traceidratio":
	default:
		return nil, fmt.Errorf(
			"OTEL_TRACES_SAMPLER is %q: must be always_on, always_off, traceidratio, or one of these after "+
				"parentbased_", name)
	}
	ratio := 1.0
	if text := strings.TrimSpace(os.Getenv("OTEL_TRACES_SAMPLER_ARG")); text != "" {
		var err error
		if ratio, err = strconv.ParseFloat(text, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
			return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG is %q: must be the share of traces to keep, from 0 to 1",
				text)
		}
	}
	if name == "traceidratio" {
		return sdktrace.TraceIDRatioBased(ratio), nil
	}
	return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio)), nil
}

// Package chart holds the Helm chart in deploy/helm/driftless, and deploy/compose.yaml, to their rules: its tests render
// the chart with every set of values in ci/, and look at what comes out as the API server and the restricted Pod Security
// Standard would. It generates the chart's README from the comments in values.yaml.
//
// It installs nothing: scripts/test-kubernetes does.
package chart

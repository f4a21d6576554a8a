// Package chart tests the Helm chart in deploy/helm/driftless and deploy/compose.yaml. The tests render the chart with
// every set of values in ci/. They check the result as the API server and the restricted Pod Security Standard do. The
// package generates the chart's README from the comments in values.yaml.
//
// It installs nothing: scripts/test-kubernetes does.
package chart

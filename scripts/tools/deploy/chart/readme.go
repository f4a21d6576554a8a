package chart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Readme returns the chart's README: its text, and a table of all values with their defaults and the comments that
// begin with "--" in values.yaml.
func Readme(name, description, version string, values []byte) (string, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(values, &document); err != nil {
		return "", fmt.Errorf("values.yaml: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s %s\n\n%s\n", name, version, description)
	b.WriteString(`
` + "```sh" + `
kubectl create secret generic catalog-db --from-literal=url='postgres://driftless:...@db:5432/shop'
kubectl create secret generic stripe --from-literal=api-key='sk_live_...' --from-literal=webhook-secret='whsec_...'
helm install driftless deploy/helm/driftless \
  --set catalog.secretName=catalog-db --set ledger.secretName=catalog-db \
  --set stripe.push.secretName=stripe --set stripe.webhook.secretName=stripe \
  --set nats.url=nats://nats.nats.svc:4222
helm test driftless --logs
` + "```" + `

How to run it in production is in [docs/kubernetes.md](../../../docs/kubernetes.md). This file is generated from
values.yaml.

| value | default | meaning |
|---|---|---|
`)
	if err := rows(&b, "", document.Content[0]); err != nil {
		return "", err
	}
	return b.String(), nil
}

func rows(b *strings.Builder, prefix string, node *yaml.Node) error {
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		meaning := meaning(key.HeadComment)
		if value.Kind == yaml.MappingNode && len(value.Content) > 0 && meaning == "" {
			if err := rows(b, prefix+key.Value+".", value); err != nil {
				return err
			}
			continue
		}
		var decoded any
		if err := value.Decode(&decoded); err != nil {
			return fmt.Errorf("values.yaml: %s%s: %w", prefix, key.Value, err)
		}
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(decoded); err != nil {
			return fmt.Errorf("values.yaml: %s%s: %w", prefix, key.Value, err)
		}
		fmt.Fprintf(b, "| `%s%s` | `%s` | %s |\n", prefix, key.Value, strings.TrimSpace(text.String()), meaning)
	}
	return nil
}

// meaning returns a comment from its "--" on.
func meaning(comment string) string {
	_, text, found := strings.Cut(comment, "-- ")
	if !found {
		return ""
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(strings.TrimPrefix(line, "#"))
	}
	return strings.ReplaceAll(strings.Join(lines, " "), "|", `\|`)
}

{{- define "driftless.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "driftless.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "driftless.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "driftless.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels of an object; call with (dict "root" $ "component" name). */}}
{{- define "driftless.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: driftless
{{ include "driftless.selector" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "driftless.selector" -}}
app.kubernetes.io/name: {{ include "driftless.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "driftless.image" -}}
{{ printf "%s/%s:%s" .root.Values.image.repository .image (default .root.Chart.AppVersion .root.Values.image.tag) }}
{{- end -}}

{{- define "driftless.serviceAccountName" -}}
{{- if .root.Values.serviceAccount.create -}}
{{ include "driftless.fullname" .root }}-{{ .component }}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* The port of each service. */}}
{{- define "driftless.port" -}}
{{- get (dict "ingestion" "8080" "pull" "8081" "reconciliation" "8082" "push" "8083" "console" "8084") . -}}
{{- end -}}

{{- define "driftless.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "driftless.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* What scales the services: keda, hpa or none. */}}
{{- define "driftless.scaler" -}}
{{- $mode := .Values.autoscaling.mode -}}
{{- if eq $mode "auto" -}}
{{- $mode = ternary "keda" "hpa" (.Capabilities.APIVersions.Has "keda.sh/v1alpha1") -}}
{{- if and (eq $mode "keda") (not (include "driftless.natsMonitoring" .)) -}}
{{- $mode = "hpa" -}}
{{- end -}}
{{- end -}}
{{- $mode -}}
{{- end -}}

{{- define "driftless.natsMonitoring" -}}
{{- if .Values.nats.monitoring -}}
{{- .Values.nats.monitoring -}}
{{- else if .Values.nats.bundled.enabled -}}
{{ include "driftless.fullname" . }}-nats.{{ .Release.Namespace }}.svc:8222
{{- end -}}
{{- end -}}

{{- define "driftless.natsAccount" -}}
{{- if .Values.nats.bundled.enabled -}}DRIFTLESS{{- else -}}{{ .Values.nats.account }}{{- end -}}
{{- end -}}

{{- define "driftless.natsReplicas" -}}
{{- if .Values.nats.replicas -}}{{ .Values.nats.replicas }}{{- else if .Values.nats.bundled.enabled -}}1{{- else -}}3{{- end -}}
{{- end -}}

{{/* The Secret with a password for each user of NATS; empty for none. */}}
{{- define "driftless.natsUsers" -}}
{{- if .Values.nats.bundled.enabled -}}{{ include "driftless.fullname" . }}-nats-users{{- else -}}{{ .Values.nats.users.secretName }}{{- end -}}
{{- end -}}

{{/* Secrets of a component as a list under "items": each has env, secretName and secretKey, or file. */}}
{{- define "driftless.secrets" -}}
{{- $v := .root.Values -}}
{{- $items := list -}}
{{- $token := merge (dict "env" "DRIFTLESS_TOKEN" "optional" true) $v.token -}}
{{- $tokens := merge (dict "env" "DRIFTLESS_TOKENS" "optional" true) $v.tokens -}}
{{- if eq .component "ingestion" -}}
{{- $items = append $items (merge (dict "env" "DATABASE_URL" "value" "catalog") $v.catalog) -}}
{{- $items = append $items $token -}}
{{- $items = append $items $tokens -}}
{{- else if eq .component "push" -}}
{{- $items = append $items (merge (dict "env" "STRIPE_API_KEY" "value" "stripe.push") $v.stripe.push) -}}
{{- else if eq .component "pull" -}}
{{- $key := $v.stripe.pull -}}
{{- if not (or $key.secretName $key.file) -}}{{- $key = $v.stripe.push -}}{{- end -}}
{{- $items = append $items (merge (dict "env" "STRIPE_API_KEY" "value" "stripe.push") $key) -}}
{{- $items = append $items (merge (dict "env" "STRIPE_WEBHOOK_SECRET" "optional" true) $v.stripe.webhook) -}}
{{- else if eq .component "reconciliation" -}}
{{- $items = append $items (merge (dict "env" "LEDGER_DATABASE_URL" "value" "ledger") $v.ledger) -}}
{{- $items = append $items $token -}}
{{- $items = append $items (merge (dict "env" "DRIFTLESS_NOTIFY_SLACK_URL" "optional" true) $v.notify.slackUrl) -}}
{{- if or $v.notify.url.secretName $v.notify.url.file -}}
{{- $items = append $items (merge (dict "env" "DRIFTLESS_NOTIFY_URL") $v.notify.url) -}}
{{- $items = append $items (merge (dict "env" "DRIFTLESS_NOTIFY_SECRET" "value" "notify.secret") $v.notify.secret) -}}
{{- end -}}
{{- $items = append $items $tokens -}}
{{- else if eq .component "migrate" -}}
{{- if not (hasKey $v.config "catalog") -}}
{{- $catalog := $v.migrations.catalog -}}
{{- if not $catalog.secretName -}}{{- $catalog = $v.catalog -}}{{- end -}}
{{- $items = append $items (merge (dict "env" "DATABASE_URL" "value" "catalog") $catalog) -}}
{{- end -}}
{{- $ledger := $v.migrations.ledger -}}
{{- if not $ledger.secretName -}}{{- $ledger = $v.ledger -}}{{- end -}}
{{- $items = append $items (merge (dict "env" "LEDGER_DATABASE_URL" "value" "ledger") $ledger) -}}
{{- else if eq .component "console" -}}
{{- $items = append $items (merge (dict "env" "DRIFTLESS_CONSOLE_SESSION_KEY" "optional" true) $v.console.sessionKey) -}}
{{- $items = append $items (merge (dict "env" "DRIFTLESS_OPENID_CLIENT_SECRET" "optional" true) $v.console.openid.clientSecret) -}}
{{- $items = append $items (merge (dict "env" "DRIFTLESS_CONSOLE_TOKEN" "optional" true) $v.console.token) -}}
{{- else if eq .component "test" -}}
{{- $items = append $items $token -}}
{{- end -}}
{{- if has .component (list "ingestion" "push" "pull" "reconciliation") -}}
{{- $items = append $items (dict "env" "DRIFTLESS_SIGNING_KEY" "optional" true "secretName" $v.signing.secretName "secretKey" (printf "%s.key" .component)) -}}
{{- end -}}
{{- $out := list -}}
{{- range $items -}}
{{- if or .secretName .file -}}
{{- $out = append $out . -}}
{{- else if not .optional -}}
{{- fail (printf "set %s.secretName to the Secret that holds %s (or %s.file to a file that something else mounts)" .value .env .value) -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "items" $out) -}}
{{- end -}}

{{/* "true" if notifications have a target. */}}
{{- define "driftless.notifies" -}}
{{- range list .Values.notify.url .Values.notify.slackUrl -}}
{{- if or .secretName .file -}}true{{- end -}}
{{- end -}}
{{- range list "url" "slack_url" -}}
{{- if hasKey $.Values.config (printf "notify_%s_file" .) -}}true{{- end -}}
{{- if hasKey $.Values.reconciliation.env (printf "DRIFTLESS_NOTIFY_%s_FILE" (upper .)) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* Environment by which a component finds its secrets. */}}
{{- define "driftless.secretEnv" -}}
{{- range (include "driftless.secrets" . | fromYaml).items }}
- name: {{ .env }}_FILE
  value: {{ default (printf "/etc/driftless/secrets/%s" .env) .file }}
{{- end }}
{{- if and (has .component (list "ingestion" "push" "pull" "reconciliation")) .root.Values.signing.trustedKeys }}
- name: DRIFTLESS_TRUSTED_KEYS
  value: {{ join "," .root.Values.signing.trustedKeys | quote }}
{{- end }}
{{- end -}}

{{/* Environment by which a component reaches NATS; user is its user there. */}}
{{- define "driftless.natsEnv" -}}
{{- $v := .root.Values.nats -}}
{{- with include "driftless.natsUsers" .root }}
- name: NATS_USER
  value: {{ $.user }}
- name: NATS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.user }}
{{- end }}
- name: NATS_URL
{{- if $v.bundled.enabled }}
  value: nats://$(NATS_USER):$(NATS_PASSWORD)@{{ include "driftless.fullname" .root }}-nats:4222
{{- else }}
  value: {{ required "set nats.url to the servers of your NATS cluster, like nats://nats.nats.svc:4222 (or nats.bundled.enabled=true for a trial)" $v.url | quote }}
{{- end }}
- name: NATS_REPLICAS
  value: {{ include "driftless.natsReplicas" .root | quote }}
{{- if $v.creds.secretName }}
- name: NATS_CREDS
  value: /etc/driftless/nats/user.creds
{{- end }}
{{- if $v.nkeys.secretName }}
- name: NATS_NKEY
  value: /etc/driftless/nats/user.nk
{{- end }}
{{- if $v.tls.caSecretName }}
- name: NATS_CA
  value: /etc/driftless/nats/ca.crt
{{- end }}
{{- if $v.tls.clientSecretName }}
- name: NATS_CERT
  value: /etc/driftless/nats/tls.crt
- name: NATS_KEY
  value: /etc/driftless/nats/tls.key
{{- end }}
{{- end -}}

{{/* Volumes with the secrets of a component, and of its NATS user (empty for none), as a list. */}}
{{- define "driftless.volumes" -}}
{{- $mounted := list -}}
{{- range (include "driftless.secrets" . | fromYaml).items -}}
{{- if not .file -}}{{- $mounted = append $mounted . -}}{{- end -}}
{{- end -}}
{{- if $mounted }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
    {{- range $mounted }}
    - secret:
        name: {{ .secretName }}
        items: [{key: {{ .secretKey | quote }}, path: {{ .env }}}]
    {{- end }}
{{- end }}
{{- $v := .root.Values.nats -}}
{{- if and .user (or $v.creds.secretName $v.nkeys.secretName $v.tls.caSecretName $v.tls.clientSecretName) }}
- name: nats
  projected:
    defaultMode: 0440
    sources:
    {{- if $v.creds.secretName }}
    - secret:
        name: {{ $v.creds.secretName }}
        items: [{key: {{ .user }}.creds, path: user.creds}]
    {{- end }}
    {{- if $v.nkeys.secretName }}
    - secret:
        name: {{ $v.nkeys.secretName }}
        items: [{key: {{ .user }}.nk, path: user.nk}]
    {{- end }}
    {{- if $v.tls.caSecretName }}
    - secret:
        name: {{ $v.tls.caSecretName }}
        items: [{key: ca.crt, path: ca.crt}]
    {{- end }}
    {{- if $v.tls.clientSecretName }}
    - secret:
        name: {{ $v.tls.clientSecretName }}
        items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]
    {{- end }}
{{- end }}
{{- /* Those of the other services may hold their secrets. */}}
{{- with ternary .root.Values.console.extraVolumes .root.Values.extraVolumes (eq .component "console") }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "driftless.volumeMounts" -}}
{{- $volumes := include "driftless.volumes" . -}}
{{- if contains "name: secrets" $volumes }}
- name: secrets
  mountPath: /etc/driftless/secrets
  readOnly: true
{{- end }}
{{- if contains "name: nats" $volumes }}
- name: nats
  mountPath: /etc/driftless/nats
  readOnly: true
{{- end }}
{{- with ternary .root.Values.console.extraVolumeMounts .root.Values.extraVolumeMounts (eq .component "console") }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "driftless.scheduling" -}}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "driftless.configuration" -}}
account: {{ .Values.account }}
{{- with omit .Values.config "account" }}
{{ toYaml . }}
{{- end }}
{{- end -}}

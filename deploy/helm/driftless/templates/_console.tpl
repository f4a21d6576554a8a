{{/* The services of this release, separated by spaces. */}}
{{- define "driftless.services" -}}
ingestion push pull reconciliation{{ if .Values.console.enabled }} console{{ end }}
{{- end -}}

{{/* "true" if the APIs ask for a token. */}}
{{- define "driftless.asksForToken" -}}
{{- if or .Values.token.secretName .Values.token.file .Values.tokens.secretName .Values.tokens.file .Values.config.tokens -}}true{{- end -}}
{{- end -}}

{{/* The address under which visitors reach the console; empty if it has none. */}}
{{- define "driftless.consoleURL" -}}
{{- $v := .Values -}}
{{- coalesce (get $v.console.env "DRIFTLESS_CONSOLE_URL") $v.console.url $v.config.console_url | default "" | trimSuffix "/" -}}
{{- end -}}

{{/* "true" if visitors of the console sign in at an OpenID provider. */}}
{{- define "driftless.openID" -}}
{{- if or .Values.console.openid.issuer .Values.config.openid_issuer (hasKey .Values.console.env "DRIFTLESS_OPENID_ISSUER") -}}true{{- end -}}
{{- end -}}

{{/* Fails if settings of the console do not fit each other. */}}
{{- define "driftless.checkConsole" -}}
{{- $c := .Values.console -}}
{{- if and (gt (int $c.replicas) 1) (not (or $c.sessionKey.secretName $c.sessionKey.file (hasKey $.Values.config "console_session_key_file") (hasKey $c.env "DRIFTLESS_CONSOLE_SESSION_KEY_FILE"))) -}}
{{- fail "console.replicas is more than 1: set console.sessionKey.secretName, because a sign-in must hold for all replicas (openssl rand -hex 32 makes a key)" -}}
{{- end -}}
{{- if include "driftless.openID" . -}}
{{- if not (include "driftless.consoleURL" .) -}}
{{- fail "the console signs in with OpenID Connect: set console.url to its address, to which the provider sends visitors back" -}}
{{- end -}}
{{- if not (or $c.token.secretName $c.token.file (hasKey $.Values.config "console_token_file") (hasKey $c.env "DRIFTLESS_CONSOLE_TOKEN_FILE")) -}}
{{- fail "the console signs in with OpenID Connect: set console.token.secretName to a token of its own (driftless token new console --role approve --delegate)" -}}
{{- end -}}
{{- end -}}
{{- if $c.openid.issuer -}}
{{- if not (or $c.openid.clientId $.Values.config.openid_client_id) -}}
{{- fail "console.openid.issuer is set: set console.openid.clientId to the id of the console at the provider" -}}
{{- end -}}
{{- if not (or $c.openid.roles $.Values.config.openid_roles) -}}
{{- fail "console.openid.issuer is set: set console.openid.roles, or nobody may sign in" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Environment of the console alone. */}}
{{- define "driftless.consoleEnv" -}}
{{- include "driftless.checkConsole" . -}}
{{- $c := .Values.console }}
- name: DRIFTLESS_CONTROL_URL
  value: http://{{ include "driftless.fullname" . }}-reconciliation:{{ include "driftless.port" "reconciliation" }}
- name: DRIFTLESS_INGEST_URL
  value: http://{{ include "driftless.fullname" . }}-ingestion:{{ include "driftless.port" "ingestion" }}
{{- range $name, $value := dict
  "DRIFTLESS_CONSOLE_URL" $c.url
  "DRIFTLESS_CONSOLE_JAEGER_URL" $c.jaegerUrl
  "DRIFTLESS_CONSOLE_STRIPE_URL" $c.stripeUrl
  "DRIFTLESS_OPENID_ISSUER" $c.openid.issuer
  "DRIFTLESS_OPENID_CLIENT_ID" $c.openid.clientId
  "DRIFTLESS_OPENID_ROLES" (join "," $c.openid.roles) }}
{{- if and $value (not (hasKey $c.env $name)) }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

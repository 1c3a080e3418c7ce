{{- define "bursar.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "bursar.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "bursar.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "bursar.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: selectors hold on to them. Arguments: root, component. */}}
{{- define "bursar.selector" -}}
app.kubernetes.io/name: {{ include "bursar.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* What every object's metadata has beside its name. Arguments: root, component, annotations, labels. */}}
{{- define "bursar.metadata" -}}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "bursar.selector" . | nindent 2 }}
  app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
  {{- with mergeOverwrite (dict) .root.Values.commonLabels (default (dict) .labels) }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with mergeOverwrite (dict) .root.Values.commonAnnotations (default (dict) .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "bursar.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "bursar.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "bursar.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{/* Options as environment variables. An option of 0, false or "" is said as it is. */}}
{{- define "bursar.options" -}}
{{- range $key, $value := . }}
- name: BURSAR_{{ upper $key }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{- define "bursar.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "bursar.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Where sidecars call the ledger. */}}
{{- define "bursar.ledgerUrl" -}}
{{- if .Values.sidecar.ledger -}}
{{ .Values.sidecar.ledger }}
{{- else if .Values.ledger.enabled -}}
http://{{ include "bursar.fullname" . }}-ledger.{{ .Release.Namespace }}.svc:{{ .Values.ledger.service.port }}
{{- else -}}
{{ fail "nothing says where the ledger is: set `sidecar.ledger`, or `ledger.enabled: true`" }}
{{- end -}}
{{- end -}}

{{/*
The sidecar, for the pods of your own charts. Arguments: the values of this chart and its release, as `helm dependency` gives
them. In a pod's spec:

  initContainers: {{- include "bursar.sidecar" .Subcharts.bursar | nindent 4 }}
  containers:
    - name: agent
      env: {{- include "bursar.appEnv" .Subcharts.bursar | nindent 8 }}
      volumeMounts: {{- include "bursar.appMounts" .Subcharts.bursar | nindent 8 }}
  volumes: {{- include "bursar.volumes" .Subcharts.bursar | nindent 4 }}

It is an init container that goes on: it is there before the agent's containers begin and ends after them, in Jobs too.
*/}}
{{- define "bursar.sidecar" -}}
- name: bursar
  image: {{ include "bursar.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always
  args: [sidecar]
  env:
    {{- include "bursar.sidecarEnv" . | nindent 4 }}
  ports:
    - {name: metrics, containerPort: 7402, protocol: TCP}
  {{- include "bursar.sidecarProbes" . | nindent 2 }}
  securityContext:
    {{- include "bursar.containerSecurity" . | nindent 4 }}
    runAsUser: 65532
  resources:
    {{- toYaml .Values.sidecar.resources | nindent 4 }}
  volumeMounts:
    - {name: bursar-journal, mountPath: /var/lib/bursar}
    {{- include "bursar.appMounts" . | nindent 4 }}
{{- end -}}

{{- define "bursar.sidecarEnv" -}}
- name: BURSAR_LEDGER
  value: {{ include "bursar.ledgerUrl" . | quote }}
- name: BURSAR_SOCKET
  value: {{ .Values.sidecar.socketDir }}/bursar.sock
# The pod's containers, whoever they run as, share nothing with others but this directory.
- name: BURSAR_SOCKET_MODE
  value: "0666"
- name: BURSAR_ADMIN_LISTEN
  value: 0.0.0.0:7402
- name: BURSAR_DATA_DIR
  value: /var/lib/bursar/sidecar
{{- include "bursar.options" .Values.sidecar.config }}
{{- end -}}

{{/* Only the startup probe holds the pod's other containers back. Readiness says that calls are taken, with the ledger or without
it; without it the plan's offline mode answers. */}}
{{- define "bursar.sidecarProbes" -}}
startupProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 1
  failureThreshold: 120
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 5
livenessProbe:
  httpGet: {path: /livez, port: metrics}
  periodSeconds: 10
  failureThreshold: 6
{{- end -}}

{{- define "bursar.appEnv" -}}
- name: BURSAR_ENDPOINT
  value: unix://{{ .Values.sidecar.socketDir }}/bursar.sock
{{- end -}}

{{- define "bursar.appMounts" -}}
- {name: bursar-socket, mountPath: {{ .Values.sidecar.socketDir }}}
{{- end -}}

{{- define "bursar.volumes" -}}
- name: bursar-socket
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
- name: bursar-journal
  emptyDir: {sizeLimit: {{ .Values.sidecar.journalSize }}}
{{- end -}}

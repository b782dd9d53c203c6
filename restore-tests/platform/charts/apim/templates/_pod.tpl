{{/* What all pods have in common. */}}
{{- define "pod" -}}
serviceAccountName: apim
nodeSelector: { agentpool: {{ .Values.pool }} }
terminationGracePeriodSeconds: 5
securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: RuntimeDefault } }
volumes: [{ name: tls, secret: { secretName: database-tls } }]
{{- end }}
{{- define "container" -}}
securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: [ALL] } }
resources: { requests: { cpu: 10m, memory: 16Mi } }
envFrom: [{ configMapRef: { name: endpoints } }, { secretRef: { name: databases } }]
volumeMounts: [{ name: tls, mountPath: /tls, readOnly: true }]
{{- end }}
{{- define "server" -}}
{{ include "container" . }}
ports: [{ containerPort: 8080 }]
readinessProbe: { httpGet: { path: /ready, port: 8080 }, periodSeconds: 2, timeoutSeconds: 10 }
{{- end }}
{{/* Waits for one thing after the other, as the vendors' charts do: a list of an image and of what is waited for. */}}
{{- define "waits" -}}
{{- $top := index . 0 }}
{{- range $number, $what := rest . }}
- name: wait-{{ $number }}
  image: {{ $top.Values.registry }}/apim/admin:1
  command: [/bin/lab-api, wait, {{ $what | quote }}]
  {{- include "container" $top | nindent 2 }}
{{- end }}
{{- end }}

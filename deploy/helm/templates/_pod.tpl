{{- /* What the pods share. Each helper gets a dict: root (the chart's values), process, files. */ -}}

{{- define "weightgate.image" -}}
{{- with .Values.image }}{{ if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag }}{{ end }}{{ end -}}
{{- end }}

{{- define "weightgate.labels" -}}
app.kubernetes.io/name: weightgate
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .process }}
{{- end }}

{{- /* The files of the Secret that a process needs, and no other key. */ -}}
{{- define "weightgate.files" -}}
{{- $own := dict
  "web" (list "signer.json" "secret" "receipt.key.pem" "manifest.pub.pem" "s3.key")
  "worker" (list "signer.json" "log.key.pem" "anchor.json" "publisher.json" "secret" "manifest.pub.pem")
-}}
{{- concat (get $own .process) (get (.root.Values.extraFiles | default dict) .process | default list) | uniq | toJson -}}
{{- end }}

{{- define "weightgate.hardened" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "weightgate.environment" -}}
- name: WEIGHTGATE_LISTEN
  value: 0.0.0.0:8080
{{- if .root.Values.redisUrl }}
- name: WEIGHTGATE_REDIS_URL
  value: {{ .root.Values.redisUrl | quote }}
{{- end }}
{{- if .root.Values.metrics.enabled }}
- name: POD_IP
  valueFrom: { fieldRef: { fieldPath: status.podIP } }
- name: WEIGHTGATE_METRICS_LISTEN
  value: $(POD_IP):9464
{{- end }}
{{- end }}

{{- define "weightgate.mounts" -}}
- { name: data, mountPath: /var/lib/weightgate }
- { name: tmp, mountPath: /tmp }
{{- end }}

{{- /* Everything of a pod's spec but its containers. A key that others can read stops the start, and Kubernetes gives
       the files of a Secret to a group: so they are copied, mode 0600, into memory that ends with the pod. */ -}}
{{- define "weightgate.pod" -}}
{{- $files := include "weightgate.files" . | fromJsonArray -}}
serviceAccountName: {{ .account | default .root.Release.Name }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 60
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
initContainers:
  - name: files
    image: {{ include "weightgate.image" .root }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command:
      - /bin/sh
      - -ec
      - |
        install -d -m 0700 /var/lib/weightgate/keys
        install -m 0600 /run/secrets/weightgate/weightgate.toml /var/lib/weightgate/weightgate.toml
        {{- range $files }}
        install -m 0600 /run/secrets/weightgate/{{ . }} /var/lib/weightgate/keys/{{ . }}
        {{- end }}
    securityContext: {{- include "weightgate.hardened" . | nindent 6 }}
    resources:
      requests: { cpu: 10m, memory: 16Mi }
      limits: { memory: 64Mi }
    volumeMounts:
      - { name: data, mountPath: /var/lib/weightgate }
      - { name: secret, mountPath: /run/secrets/weightgate, readOnly: true }
volumes:
  - name: data
    emptyDir: { medium: Memory, sizeLimit: 64Mi }
  - name: tmp
    emptyDir: { medium: Memory, sizeLimit: 64Mi }
  - name: secret
    secret:
      secretName: {{ .root.Values.secretName }}
      defaultMode: 0440
      items:
        - { key: weightgate.toml, path: weightgate.toml }
        {{- range $files }}
        - { key: {{ . }}, path: {{ . }} }
        {{- end }}
{{- end }}

{{- define "weightgate.metrics" -}}
{{- if .root.Values.metrics.enabled }}
- name: metrics
  image: {{ include "weightgate.image" .root }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [/opt/weightgate/.venv/bin/weightgate-server, metrics]
  env: {{- include "weightgate.environment" . | nindent 4 }}
  ports:
    - { name: metrics, containerPort: 9464 }
  securityContext: {{- include "weightgate.hardened" . | nindent 4 }}
  resources: {{ toJson .root.Values.metrics.resources }}
  volumeMounts: {{- include "weightgate.mounts" . | nindent 4 }}
{{- end }}
{{- end }}

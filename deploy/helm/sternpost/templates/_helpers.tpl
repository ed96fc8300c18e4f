{{- define "sternpost.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that select: argument (list $ component). */}}
{{- define "sternpost.selector" -}}
app.kubernetes.io/name: {{ (index . 0).Chart.Name }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- with index . 1 }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{/* All labels: argument (list $ component). */}}
{{- define "sternpost.labels" -}}
{{ include "sternpost.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- with (index . 0).Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "sternpost.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* A setting in force, by section and name: argument (list $ section name). */}}
{{- define "sternpost.setting" -}}
{{- $defaults := fromJson (include "sternpost.defaults" .) -}}
{{- $section := index . 1 -}}
{{- $name := index . 2 -}}
{{- $given := index (index (index . 0).Values.settings $section | default dict) $name -}}
{{- if kindIs "invalid" $given -}}
{{- index (index $defaults $section) $name | toJson | trimAll "\"" -}}
{{- else -}}
{{- $given | toJson | trimAll "\"" -}}
{{- end -}}
{{- end -}}

{{/* The settings as environment variables, where lists and tables are JSON, and `extraEnv`. */}}
{{- define "sternpost.env" -}}
{{- range $section, $values := .Values.settings }}
{{- range $name, $value := $values }}
{{- if not (or (kindIs "invalid" $value) (and (kindIs "map" $value) (empty $value))) }}
- name: {{ printf "STERNPOST_%s__%s" $section $name | upper }}
  value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The settings file: argument (list $ nameOfSecret). */}}
{{- define "sternpost.fileEnv" -}}
{{- with index . 1 }}
- name: STERNPOST_CONFIG
  value: /etc/sternpost/settings/sternpost.toml
{{- end }}
{{- end -}}

{{- define "sternpost.mounts" -}}
{{- with index . 1 }}
- name: settings
  mountPath: /etc/sternpost/settings
  readOnly: true
{{- end }}
{{- if or (index . 0).Values.certificates.configMap (index . 0).Values.certificates.secret }}
- name: certificates
  mountPath: /etc/sternpost/certificates
  readOnly: true
{{- end }}
{{- end -}}

{{- define "sternpost.volumes" -}}
{{- with index . 1 }}
- name: settings
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- $certificates := (index . 0).Values.certificates }}
{{- if or $certificates.configMap $certificates.secret }}
- name: certificates
  projected:
    defaultMode: 0444
    sources:
      {{- with $certificates.configMap }}
      - configMap:
          name: {{ . }}
      {{- end }}
      {{- with $certificates.secret }}
      - secret:
          name: {{ . }}
      {{- end }}
{{- end }}
{{- end -}}

{{- define "sternpost.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "sternpost.container" -}}
image: {{ include "sternpost.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{/* Where pods go: argument (list $ component values). */}}
{{- define "sternpost.scheduling" -}}
{{- $root := index . 0 }}
{{- $component := index . 1 }}
{{- $values := index . 2 }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "sternpost.selector" (list $root $component) | nindent 14 }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "sternpost.selector" (list $root $component) | nindent 8 }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "sternpost.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 2
  failureThreshold: 60
  timeoutSeconds: 3
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  failureThreshold: 6
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  failureThreshold: 2
  timeoutSeconds: 3
{{- end -}}

{{/* The most processor pods that there is work for: whole partitions a worker. */}}
{{- define "sternpost.maxProcessors" -}}
{{- $partitions := include "sternpost.setting" (list . "topics" "partitions") | int -}}
{{- $workers := include "sternpost.setting" (list . "processor" "workers") | int -}}
{{- $most := div $partitions $workers -}}
{{- $asked := .Values.processor.replicas | int -}}
{{- $what := "processor.replicas" -}}
{{- if ne .Values.processor.autoscaling.kind "none" -}}
{{- $asked = .Values.processor.autoscaling.maxReplicas | default $most | int -}}
{{- $what = "processor.autoscaling.maxReplicas" -}}
{{- end -}}
{{- if gt $asked (int $most) -}}
{{- fail (printf "%s is %d, and each pod has %d workers: more than the %d partitions of the raw topic (settings.topics.partitions); at most %d pods would have work" $what $asked $workers $partitions $most) -}}
{{- end -}}
{{- $asked -}}
{{- end -}}

{{/* What a NetworkPolicy lets out of every pod: DNS, Kafka, the registry, and what was added. */}}
{{- define "sternpost.egress" -}}
{{- $kafkaPorts := .Values.networkPolicy.kafkaPorts }}
{{- if not $kafkaPorts }}
{{- range splitList "," .Values.settings.kafka.bootstrap_servers }}
{{- $kafkaPorts = append $kafkaPorts (regexFind "[0-9]+$" (trim .) | int) }}
{{- end }}
{{- end }}
{{- $registryPorts := .Values.networkPolicy.registryPorts }}
{{- if not $registryPorts }}
{{- range splitList "," (include "sternpost.setting" (list . "schema_registry" "url")) }}
{{- $port := regexFind ":[0-9]+" (trimPrefix "http:" (trimPrefix "https:" (trim .))) | trimPrefix ":" }}
{{- $registryPorts = append $registryPorts (int ($port | default (hasPrefix "https:" (trim .) | ternary "443" "80"))) }}
{{- end }}
{{- end }}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
- ports:
    {{- range concat $kafkaPorts $registryPorts .Values.networkPolicy.extraEgressPorts | uniq }}
    - {port: {{ int . }}, protocol: TCP}
    {{- end }}
{{- end -}}

{{/* The chart's name. */}}
{{- define "bridge.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What all objects are called. 50 characters: room for what comes behind it. */}}
{{- define "bridge.fullname" -}}
{{- $name := include "bridge.name" . }}
{{- $release := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $release .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* Never to change: a Deployment's selector can't. */}}
{{- define "bridge.selectorLabels" -}}
app.kubernetes.io/name: {{ include "bridge.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of a pod that isn't the bridge: what it is for. The Service mustn't lead to it. */}}
{{- define "bridge.hookLabels" -}}
app.kubernetes.io/name: {{ include "bridge.name" .root | trunc 56 | trimSuffix "-" }}-{{ .hook }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "bridge.labels" -}}
{{ include "bridge.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* An object's; takes the root, and what the object has of its own: `suffix`, `name` or `generateName`, `namespace`, `labels`, `annotations`. */}}
{{- define "bridge.metadata" -}}
{{- if .generateName -}}
generateName: {{ .generateName }}
{{- else -}}
name: {{ .name | default (printf "%s%s" (include "bridge.fullname" .root) (.suffix | default "")) }}
{{- end }}
namespace: {{ .namespace | default .root.Release.Namespace }}
labels:
  {{- include "bridge.labels" .root | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Which addresses a Service has. */}}
{{- define "bridge.ipFamilies" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "bridge.serviceAccountName" -}}
{{- $made := ternary (include "bridge.fullname" .) "default" .Values.serviceAccount.create }}
{{- default $made .Values.serviceAccount.name }}
{{- end }}

{{- define "bridge.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion }}
{{- $version := ternary (printf "@%s" .Values.image.digest) (printf ":%s" $tag) (ne .Values.image.digest "") }}
{{- $repository := .Values.image.repository }}
{{- with .Values.global.imageRegistry }}
{{- /* A first part with a dot or a port is a registry. */}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "") }}
{{- end }}
{{- printf "%s%s" $repository $version }}
{{- end }}

{{/* The bridge's file: what the values say, where the admin port is, and where the bell's, if there is one. */}}
{{- define "bridge.config" -}}
{{- $admin := merge (dict "listen" (printf "%s:8080" .Values.listenAddress)) (.Values.config.admin | default dict) }}
{{- $added := dict "admin" $admin }}
{{- with .Values.config.webhooks }}
{{- $peers := list (printf "%s-bell.%s.svc:8081" (include "bridge.fullname" $) $.Release.Namespace) }}
{{- $_ := set $added "webhooks" (merge (dict "listen" (printf "%s:8081" $.Values.listenAddress) "peers" $peers) .) }}
{{- end }}
{{- toYaml (merge $added (omit .Values.config "admin" "webhooks")) }}
{{- end }}

{{/* A mark of the parts of the file that the bridge can't take up while it runs: they roll the pods. */}}
{{- define "bridge.needsRestart" -}}
{{- pick (include "bridge.config" . | fromYaml) "admin" "index" "replica" "shards" "sink" "webhooks" | toJson | sha256sum }}
{{- end }}

{{/* What the bridge's container needs, in whatever pod. */}}
{{- define "bridge.container" -}}
image: {{ include "bridge.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
# Why it ended, in `kubectl describe pod`: the last lines of its log.
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - name: config
    mountPath: /etc/asana-event-bridge
    readOnly: true
  - name: tmp
    mountPath: /tmp
  {{- range $name, $_ := .Values.secrets }}
  - name: secret-{{ $name }}
    mountPath: /secrets/{{ $name }}
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The pod around it; takes the root and the ConfigMap's name. Whole folders are mounted: only those follow changes. */}}
{{- define "bridge.pod" -}}
{{- $root := .root -}}
serviceAccountName: {{ .serviceAccountName }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with concat $root.Values.imagePullSecrets ($root.Values.global.imagePullSecrets | default list) }}
imagePullSecrets:
  {{- range . }}
  - name: {{ if kindIs "string" . }}{{ . }}{{ else }}{{ .name }}{{ end }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: config
    configMap:
      name: {{ .configMap }}
  # The index of resources is a temporary file.
  - name: tmp
    emptyDir:
      sizeLimit: {{ $root.Values.tmpSizeLimit }}
  {{- range $name, $secret := $root.Values.secrets }}
  - name: secret-{{ $name }}
    secret:
      secretName: {{ $secret.existingSecret }}
      defaultMode: 0440
      {{- with $secret.items }}
      items:
        {{- toYaml . | nindent 8 }}
      {{- end }}
  {{- end }}
  {{- with $root.Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Strimzi's interface: v1 where the cluster has it. */}}
{{- define "bridge.strimziVersion" -}}
{{- ternary "kafka.strimzi.io/v1" "kafka.strimzi.io/v1beta2" (.Capabilities.APIVersions.Has "kafka.strimzi.io/v1") }}
{{- end }}

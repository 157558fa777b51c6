{{/* The chart's name. */}}
{{- define "bridge.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The full name, which begins the names of all objects. 49 characters at most, which leaves room for the longest suffix, -webhook-peers. */}}
{{- define "bridge.fullname" -}}
{{- $name := include "bridge.name" . }}
{{- $release := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $release .Values.fullnameOverride | trunc 49 | trimSuffix "-" }}
{{- end }}

{{/* The labels that select the bridge's pods. Don't change them: a Deployment's selector is immutable. */}}
{{- define "bridge.selectorLabels" -}}
app.kubernetes.io/name: {{ include "bridge.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The labels of a pod that isn't the bridge, with its purpose in the name. The Services must not select it. */}}
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

{{/* The metadata of an object; takes the root, and the object's own `suffix`, `name` or `generateName`, `namespace`, `labels`, `annotations`. */}}
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

{{/* The IP families of a Service. */}}
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
{{- /* The first part is a registry if it contains a dot or a port. */}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "") }}
{{- end }}
{{- printf "%s%s" $repository $version }}
{{- end }}

{{/* The name of the deployment: by default the namespace and the release, which have no underscore. */}}
{{- define "bridge.deployment" -}}
{{- default (printf "%s_%s" .Release.Namespace (.Release.Name | replace "." "__")) .Values.config.deployment }}
{{- end }}

{{/* The bridge's configuration file: `config`, the address of the admin port, the names of its Service and, with webhooks, that of their port and of the peers. */}}
{{- define "bridge.config" -}}
{{- $admin := .Values.config.admin | default dict }}
{{- $name := include "bridge.fullname" . }}
{{- $inNamespace := printf "%s.%s" $name .Release.Namespace }}
{{- $hosts := concat (list $name $inNamespace (printf "%s.svc" $inNamespace)) ($admin.allowedHosts | default list) | uniq }}
{{- $admin = merge (dict "listen" (printf "%s:8080" .Values.listenAddress) "allowedHosts" $hosts) $admin }}
{{- $added := dict "admin" $admin "deployment" (include "bridge.deployment" .) }}
{{- with .Values.config.webhooks }}
{{- $peers := list (printf "%s-webhook-peers.%s.svc:8081" (include "bridge.fullname" $) $.Release.Namespace) }}
{{- $_ := set $added "webhooks" (merge (dict "listen" (printf "%s:8081" $.Values.listenAddress) "peers" $peers) .) }}
{{- end }}
{{- toYaml (merge $added (omit .Values.config "admin" "deployment" "webhooks")) }}
{{- end }}

{{/* A hash of the parts of the file whose changes need a restart: a change of it replaces the pods. */}}
{{- define "bridge.needsRestart" -}}
{{- $config := include "bridge.config" . | fromYaml }}
{{- $_ := set $config "state.refresh" (dig "state" "refresh" "" $config) }}
{{- pick $config "admin" "checkpoint" "deployment" "index" "replica" "shards" "sink" "state.refresh" "webhooks" | toJson | sha256sum }}
{{- end }}

{{/* The parts that all containers of the bridge's image share. */}}
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
# The last lines of the log, shown by `kubectl describe pod` after the container has ended.
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

{{/* The parts that all pods share; takes the root, the service account's name and the ConfigMap's name. Whole directories are mounted, since mounts with subPath don't follow changes. */}}
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
  # Holds the index of resources, which is a temporary file.
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

{{/* The API version of Strimzi's objects: v1 if the cluster has it. */}}
{{- define "bridge.strimziVersion" -}}
{{- ternary "kafka.strimzi.io/v1" "kafka.strimzi.io/v1beta2" (.Capabilities.APIVersions.Has "kafka.strimzi.io/v1") }}
{{- end }}

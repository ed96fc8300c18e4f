{{/* Generated from runtime/settings/model.py by deploy/generators/values_schema.py. */}}
{{- define "sternpost.defaults" -}}
{
  "kafka": {
    "bootstrap_servers": "127.0.0.1:9092"
  },
  "schema_registry": {
    "url": "http://127.0.0.1:8085/apis/ccompat/v7",
    "timeout_ms": 5000,
    "subject_name": "topic",
    "auto_register": false
  },
  "topics": {
    "raw": "customerio.raw",
    "events": "rudderstack.events",
    "dead_letters": "customerio.dead-letters",
    "partitions": 8,
    "replication_factor": 3,
    "min_insync_replicas": 2,
    "raw_retention_ms": 2592000000,
    "events_retention_ms": 604800000,
    "dead_letters_retention_ms": 7776000000
  },
  "ingest": {
    "host": "0.0.0.0",
    "port": 8080,
    "admin_host": "127.0.0.1",
    "admin_port": 8081,
    "workers": 1,
    "max_body_bytes": 1048576,
    "produce_deadline_ms": 3000,
    "signature_tolerance_s": 86400,
    "max_in_flight_requests": 10000,
    "max_in_flight_bytes": 134217728,
    "max_connections": 16384,
    "retry_after_s": 5,
    "header_timeout_ms": 75000,
    "body_timeout_ms": 10000,
    "drain_delay_ms": 2000,
    "drain_timeout_ms": 10000
  },
  "processor": {
    "group_id": "sternpost",
    "group_protocol": "classic",
    "workers": 1,
    "profile": "rudderstack",
    "dedup_window_s": 86400,
    "state_memory_bytes": 134217728,
    "admin_host": "127.0.0.1",
    "admin_port": 8082,
    "batch_max_records": 30000,
    "batch_max_bytes": 16777216,
    "transaction_timeout_ms": 20000,
    "session_timeout_ms": 45000,
    "max_poll_interval_ms": 300000,
    "dead_letter_limit_window": 1000,
    "shutdown_timeout_ms": 15000
  },
  "console": {
    "host": "127.0.0.1",
    "port": 8083
  },
  "log": {
    "level": "info",
    "format": "auto"
  }
}
{{- end -}}

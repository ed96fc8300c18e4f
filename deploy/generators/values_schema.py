"""The chart's values.schema.json, closed at every level, and the defaults that its templates calculate with.

What is below `settings` comes from runtime/settings/model.py: names, types, bounds and descriptions. Left out is what
is secret, which a chart's values must not hold, and what the chart sets itself.
"""

import json
import re
from typing import Any

from runtime.masking import NOT_SECRET_ENDINGS, SECRET_WORDS
from runtime.settings.model import Settings
from tools.setting_meanings import meanings

CHART = "helm/sternpost"

SET_BY_THE_CHART = {
    "processor.instance_id": "the pod's name",
    "processor.state_dir": "the mounted volume",
    "ingest.tls_certificate": "ingest.tlsSecret",
    "ingest.tls_key": "ingest.tlsSecret",
    "sources": "the Secret that secrets.ingest names",
}

Schema = dict[str, Any]

NO_SECRET: Schema = {
    "not": {
        "allOf": [
            {"pattern": "|".join(map(re.escape, SECRET_WORDS))},
            {"not": {"pattern": f"({'|'.join(map(re.escape, NOT_SECRET_ENDINGS))})$"}},
        ]
    }
}
"""Names of clients' properties that hold no secret, as `runtime.masking.is_secret` has it. The others belong into the
Secret's settings file."""


def files() -> dict[str, str]:
    """Paths below deploy/ and their texts."""
    defaults = {
        section: {name: value for name, value in values.items() if isinstance(value, int | str | bool)}
        for section, values in Settings.model_construct().model_dump(mode="json").items()
        if isinstance(values, dict)
    }
    for name in SET_BY_THE_CHART:
        section, _, inner = name.partition(".")
        defaults.get(section, {}).pop(inner, None)
    return {
        f"{CHART}/values.schema.json": json.dumps(schema(), indent=2, ensure_ascii=False) + "\n",
        f"{CHART}/templates/_defaults.tpl": (
            "{{/* Generated from runtime/settings/model.py by deploy/generators/values_schema.py. */}}\n"
            '{{- define "sternpost.defaults" -}}\n'
            f"{json.dumps(defaults, indent=2)}\n"
            "{{- end -}}\n"
        ),
    }


def schema() -> Schema:
    """The whole schema."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart sternpost",
        "$comment": "Generated from runtime/settings/model.py by deploy/generators/values_schema.py.",
        **closed(
            {
                "fullnameOverride": text(pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$", maxLength=40),
                "labels": texts(),
                "image": closed(
                    {
                        "repository": text(minLength=1),
                        "tag": text(pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$"),
                        "digest": text(pattern=r"^(sha256:[0-9a-f]{64})?$"),
                        "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
                        "pullSecrets": {"type": "array", "items": name()},
                    }
                ),
                "settings": settings(),
                "secrets": closed({"ingest": name(), "processor": name(), "provisioning": name()}),
                "serviceAccount": closed({"annotations": texts()}),
                "extraEnv": {"type": "array", "items": environment_variable()},
                "certificates": closed({"configMap": name(), "secret": name()}),
                "ingest": closed(
                    {
                        "replicas": whole(0),
                        "autoscaling": closed(
                            {
                                "enabled": BOOLEAN,
                                "minReplicas": whole(1),
                                "maxReplicas": whole(1),
                                "targetCPUUtilizationPercentage": whole(1, 100),
                            }
                        ),
                        "podDisruptionBudget": disruption_budget(),
                        "service": closed(
                            {
                                "type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
                                "port": PORT,
                                "annotations": texts(),
                            }
                        ),
                        "ingress": closed(
                            {
                                "enabled": BOOLEAN,
                                "className": name(),
                                "host": text(),
                                "tlsSecret": name(),
                                "annotations": texts(),
                            }
                        ),
                        "tlsSecret": name(),
                        **pods(),
                    }
                ),
                "processor": closed(
                    {
                        "replicas": whole(0),
                        "autoscaling": closed(
                            {
                                "kind": {"enum": ["none", "hpa", "keda"]},
                                "minReplicas": whole(1),
                                "maxReplicas": {"type": ["integer", "null"], "minimum": 1},
                                "targetCPUUtilizationPercentage": whole(1, 100),
                                "lagThreshold": whole(1),
                                "authenticationRef": name(),
                            }
                        ),
                        "podDisruptionBudget": disruption_budget(),
                        "state": closed({"size": quantity(), "storageClassName": name()}),
                        **pods(),
                    }
                ),
                "provisioning": closed({"enabled": BOOLEAN, "resources": resources()}),
                "networkPolicy": closed(
                    {
                        "enabled": BOOLEAN,
                        "webhookFrom": peers(),
                        "metricsFrom": peers(),
                        "kafkaPorts": {"type": "array", "items": PORT},
                        "registryPorts": {"type": "array", "items": PORT},
                        "extraEgressPorts": {"type": "array", "items": PORT},
                    }
                ),
                "monitoring": closed(
                    {
                        "repositoryUrl": text(pattern="^(https?://.+)?$"),
                        "podMonitor": closed(
                            {"enabled": BOOLEAN, "labels": texts(), "interval": text(pattern=r"^[0-9]+(ms|s|m)$")}
                        ),
                        "prometheusRule": closed({"enabled": BOOLEAN, "labels": texts()}),
                        "dashboards": closed({"enabled": BOOLEAN, "labels": texts()}),
                    }
                ),
                "global": closed({}, description="What Helm hands to a chart that is a part of another; not read."),
            }
        ),
    }


def settings() -> Schema:
    """Sternpost's own settings, by section."""
    model = Settings.model_json_schema(mode="validation")
    sections, texts = {}, meanings()
    for section, reference in model["properties"].items():
        found = resolved(reference, model["$defs"])
        if section in SET_BY_THE_CHART or found.get("type") != "object":
            continue
        sections[section] = closed(
            {
                setting: described(resolved(inner, model["$defs"]), setting, texts[f"{section}.{setting}"])
                for setting, inner in found["properties"].items()
                if f"{section}.{setting}" not in SET_BY_THE_CHART and not is_secret(resolved(inner, model["$defs"]))
            }
        )
    return closed(sections, description="Sternpost's settings; docs/settings.md explains each.")


def described(found: Schema, setting: str, docstring: str) -> Schema:
    """A setting's schema as Helm is to check it."""
    kept = {key: value for key, value in found.items() if key not in ("title", "examples", "env_names")}
    kept = dict(sorted({**kept, "description": one_line(docstring)}.items()))
    if setting.endswith("port"):
        kept["minimum"] = 1  # 0 takes a free port, which no Service would find
    if setting.endswith("url"):
        kept["not"] = {"pattern": "://[^/]*@"}  # a password in an address is a secret
    if kept.get("type") == "object":
        kept["propertyNames"] = NO_SECRET
        kept["additionalProperties"] = {"type": ["string", "number", "boolean"]}
    return kept


def resolved(found: Schema, definitions: Schema) -> Schema:
    """The schema without references."""
    if "$ref" in found:
        rest = {key: value for key, value in found.items() if key != "$ref"}
        return {**resolved(definitions[found["$ref"].rpartition("/")[2]], definitions), **rest}
    if "allOf" in found and len(found["allOf"]) == 1:
        rest = {key: value for key, value in found.items() if key != "allOf"}
        return {**resolved(found["allOf"][0], definitions), **rest}
    if "anyOf" in found:
        return {**found, "anyOf": [resolved(option, definitions) for option in found["anyOf"]]}
    return found


def is_secret(found: Schema) -> bool:
    """Whether pydantic keeps the value as a secret."""
    return bool(found.get("writeOnly")) or any(is_secret(option) for option in found.get("anyOf", []))


def one_line(description: str) -> str:
    return " ".join(description.split())


# Parts of the schema.
BOOLEAN: Schema = {"type": "boolean"}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}


def closed(properties: Schema, **more: Any) -> Schema:
    """An object that takes these properties and no other."""
    return {"type": "object", **more, "additionalProperties": False, "properties": properties}


def text(**more: Any) -> Schema:
    return {"type": "string", **more}


def name() -> Schema:
    """The name of an object in the cluster, or nothing."""
    return text(pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")


def texts() -> Schema:
    """Labels, annotations: any names, and texts as values."""
    return {"type": "object", "additionalProperties": {"type": "string"}}


def environment_variable() -> Schema:
    """One that is no setting of Sternpost's. A value in the clear is refused where the name says that it is secret."""
    key = closed({"name": text(), "key": text(), "optional": BOOLEAN})
    field = closed({"fieldPath": text(), "apiVersion": text()})
    return {
        **closed(
            {
                "name": text(pattern="^[A-Za-z_][A-Za-z0-9_]*$", **{"not": {"pattern": "^STERNPOST_"}}),
                "value": text(),
                "valueFrom": closed({"secretKeyRef": key, "configMapKeyRef": key, "fieldRef": field}),
            }
        ),
        "required": ["name"],
        "not": {
            "required": ["value"],
            "properties": {"name": {"pattern": "PASSWORD|SECRET|CREDENTIAL|TOKEN$|HEADERS$"}},
        },
    }


def whole(minimum: int, maximum: int | None = None) -> Schema:
    return {"type": "integer", "minimum": minimum, **({} if maximum is None else {"maximum": maximum})}


def quantity() -> Schema:
    """An amount as Kubernetes writes it."""
    return {"type": ["string", "integer"], "pattern": r"^[0-9.]+(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"}


def resources() -> Schema:
    amounts = closed({"cpu": quantity(), "memory": quantity(), "ephemeral-storage": quantity()})
    return closed({"requests": amounts, "limits": amounts})


def disruption_budget() -> Schema:
    return closed({"enabled": BOOLEAN, "maxUnavailable": whole(1)})


def pods() -> Schema:
    """What both services have."""
    toleration = closed(
        {
            "key": text(),
            "operator": {"enum": ["Exists", "Equal"]},
            "value": text(),
            "effect": {"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
            "tolerationSeconds": whole(0),
        }
    )
    return {
        "resources": resources(),
        "annotations": texts(),
        "nodeSelector": texts(),
        "tolerations": {"type": "array", "items": toleration},
        "priorityClassName": name(),
    }


def peers() -> Schema:
    """Of a NetworkPolicy."""
    expression = closed(
        {
            "key": text(),
            "operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
            "values": {"type": "array", "items": text()},
        }
    )
    selector = closed({"matchLabels": texts(), "matchExpressions": {"type": "array", "items": expression}})
    block = closed({"cidr": text(), "except": {"type": "array", "items": text()}})
    return {
        "type": "array",
        "items": closed({"namespaceSelector": selector, "podSelector": selector, "ipBlock": block}),
    }

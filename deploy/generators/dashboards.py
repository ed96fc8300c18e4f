"""The three dashboards of Grafana, made from the declared metrics.

Is data flowing, for whoever asks; ingest and processor, for whoever looks for the cause. What a panel is called and
says comes with its query; the kinds of metrics and their meanings come from runtime/metrics.py.
"""

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableOption,
)

from runtime.metrics import DECLARED

FOLDER = "helm/sternpost/files/dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
SCOPE = 'namespace=~"$namespace",instance=~"$instance"'
WINDOW = "$__rate_interval"


class Panel(NamedTuple):
    """One panel; each query comes with the legend of its series."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    stacked: bool = False
    alert_above: float | None = None
    """Drawn as a line, and the colour of a single value."""
    single: bool = False
    """One number in place of a graph."""


def rate(metric: str, *by: str, matching: str = "") -> str:
    """Events a second, added up."""
    return f"sum{_by(by)} (rate({metric}{{{_scope(matching)}}}[{WINDOW}]))"


def increase(metric: str, *by: str, matching: str = "") -> str:
    """How many in the window, added up: for what is rare."""
    return f"sum{_by(by)} (increase({metric}{{{_scope(matching)}}}[{WINDOW}]))"


def total(metric: str, *by: str) -> str:
    """A gauge, added up."""
    return f"sum{_by(by)} ({metric}{{{_scope('')}}})"


def quantiles(metric: str) -> list[tuple[str, str]]:
    """Median, 95th and 99th percentile of a histogram."""
    buckets = f"sum by (le) (rate({metric}_bucket{{{_scope('')}}}[{WINDOW}]))"
    return [
        (f"histogram_quantile({share}, {buckets})", name)
        for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    ]


def mean(metric: str) -> str:
    """The mean of a histogram."""
    return f"{rate(metric + '_sum')} / {rate(metric + '_count')}"


def _by(labels: Sequence[str]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def _scope(matching: str) -> str:
    return f"{SCOPE},{matching}" if matching else SCOPE


REQUESTS = "sternpost_ingest_requests_total"
RECORDS = "sternpost_processor_transaction_records"
LAG = "sternpost_processor_lag_records"
UNAVAILABLE = 'outcome=~"busy|late|refused|internal_error"'

FLOW: dict[str, list[Panel]] = {
    "Is data flowing?": [
        Panel("Webhooks accepted", [(rate(REQUESTS, matching='outcome="ok"'), "accepted")], "reqps", single=True),
        Panel("Events written", [(rate("sternpost_processor_events_total"), "events")], "cps", single=True),
        Panel("Not processed yet", [(total(LAG), "records")], "short", alert_above=10_000, single=True),
        Panel(
            "Answered 503",
            [(f"{rate(REQUESTS, matching=UNAVAILABLE)} / {rate(REQUESTS)}", "503")],
            "percentunit",
            alert_above=0.001,
            single=True,
        ),
        Panel(
            "Dead letters",
            [(f"{rate('sternpost_processor_dead_letters_total')} / {rate(RECORDS + '_sum')}", "dead letters")],
            "percentunit",
            alert_above=0.05,
            single=True,
        ),
        Panel(
            "Instances that answer",
            [('count by (job) (up{job=~"sternpost-(ingest|processor)",namespace=~"$namespace"} == 1)', "{{job}}")],
            single=True,
        ),
    ],
    "From webhook to event": [
        Panel(
            "Webhooks in, events out",
            [
                (rate(REQUESTS, matching='outcome="ok"'), "webhooks accepted"),
                (rate("sternpost_processor_events_total"), "events"),
                (rate("sternpost_processor_duplicates_total"), "duplicates"),
                (rate("sternpost_processor_dead_letters_total"), "dead letters"),
            ],
            "cps",
        ),
        Panel(
            "Webhooks accepted by source",
            [(rate(REQUESTS, "source", matching='outcome="ok"'), "{{source}}")],
            "reqps",
            stacked=True,
        ),
        Panel(
            "Not processed yet by partition",
            [(f"sum by (partition) ({LAG}{{{SCOPE}}})", "partition {{partition}}")],
            stacked=True,
        ),
        Panel(
            "Dead letters by source",
            [(rate("sternpost_processor_dead_letters_total", "source"), "{{source}}")],
            "cps",
            stacked=True,
        ),
    ],
}

INGEST: dict[str, list[Panel]] = {
    "Requests": [
        Panel("Answers by outcome", [(rate(REQUESTS, "outcome"), "{{outcome}}")], "reqps", stacked=True),
        Panel(
            "Answers that stop the feed for an hour",
            [
                (
                    increase(
                        REQUESTS,
                        "source",
                        "outcome",
                        matching='outcome=~"bad_signature|unknown_key|not_found|wrong_method"',
                    ),
                    "{{source}} {{outcome}}",
                )
            ],
        ),
        Panel(
            "Signatures that failed",
            [(increase("sternpost_ingest_signature_failures_total", "source", "reason"), "{{source}} {{reason}}")],
        ),
        Panel(
            "Size of bodies",
            [*quantiles("sternpost_ingest_body_bytes"), (mean("sternpost_ingest_body_bytes"), "mean")],
            "bytes",
        ),
    ],
    "Kafka": [
        Panel(
            "Time to the brokers' acknowledgement",
            [*quantiles("sternpost_ingest_ack_seconds"), (mean("sternpost_ingest_ack_seconds"), "mean")],
            "s",
            alert_above=1,
        ),
        Panel(
            "Bodies that Kafka did not take",
            [(increase("sternpost_ingest_produce_errors_total", "error"), "{{error}}")],
            stacked=True,
        ),
        Panel(
            "Webhooks that wait for Kafka",
            [(total("sternpost_ingest_in_flight", "instance"), "{{instance}}")],
            alert_above=5_000,
        ),
        Panel("Their bytes", [(total("sternpost_ingest_in_flight_bytes", "instance"), "{{instance}}")], "bytes"),
    ],
    "Operation": [
        Panel("Reloads of the sources", [(increase("sternpost_ingest_reloads_total", "result"), "{{result}}")]),
        Panel(
            "The TLS certificate ends in",
            [(f"min(sternpost_ingest_certificate_expiry_seconds{{{SCOPE}}}) - time()", "certificate")],
            "s",
        ),
        Panel(
            "Connections not accepted, by reason",
            [(increase("sternpost_ingest_accept_blocked_total", "reason"), "{{reason}}")],
        ),
        Panel(
            "Connections that the admin port could not accept",
            [
                (
                    increase(
                        "sternpost_admin_accept_failures_total", "job", "error", matching='job="sternpost-ingest"'
                    ),
                    "{{error}}",
                )
            ],
        ),
        Panel(
            "Log lines dropped",
            [
                (
                    increase("sternpost_log_lines_dropped_total", "instance", matching='job="sternpost-ingest"'),
                    "{{instance}}",
                )
            ],
        ),
    ],
}

PROCESSOR: dict[str, list[Panel]] = {
    "Outcomes": [
        Panel(
            "Raw records by outcome",
            [
                (rate("sternpost_processor_events_total"), "events"),
                (rate("sternpost_processor_duplicates_total"), "duplicates"),
                (rate("sternpost_processor_dead_letters_total"), "dead letters"),
            ],
            "cps",
            stacked=True,
        ),
        Panel(
            "Dead letters by code",
            [(rate("sternpost_processor_dead_letters_total", "code"), "{{code}}")],
            "cps",
            stacked=True,
        ),
        Panel("Raw records by instance", [(rate(RECORDS + "_sum", "instance"), "{{instance}}")], "cps", stacked=True),
        Panel(
            "Not processed yet by partition",
            [(f"sum by (partition) ({LAG}{{{SCOPE}}})", "partition {{partition}}")],
            stacked=True,
            alert_above=10_000,
        ),
    ],
    "Transactions": [
        Panel(
            "Time to commit",
            [
                *quantiles("sternpost_processor_transaction_seconds"),
                (mean("sternpost_processor_transaction_seconds"), "mean"),
            ],
            "s",
            alert_above=2,
        ),
        Panel("Records in a transaction", [*quantiles(RECORDS), (mean(RECORDS), "mean")]),
        Panel("Transactions a second", [(rate(RECORDS + "_count", "instance"), "{{instance}}")], "cps", stacked=True),
        Panel("Transactions aborted by cause", [(increase("sternpost_processor_aborts_total", "cause"), "{{cause}}")]),
    ],
    "Membership and state": [
        Panel("Changes of partitions", [(increase("sternpost_processor_rebalances_total", "kind"), "{{kind}}")]),
        Panel("Memberships begun anew", [(increase("sternpost_processor_restarts_total", "instance"), "{{instance}}")]),
        Panel("Stops by itself", [(f"sum by (instance) (sternpost_processor_halts_total{{{SCOPE}}})", "{{instance}}")]),
        Panel(
            "Deduplication state on disk",
            [(total("sternpost_processor_state_bytes", "instance"), "{{instance}}")],
            "bytes",
        ),
        Panel(
            "Records read to bring the state up to date",
            [(rate("sternpost_processor_caught_up_total", "instance"), "{{instance}}")],
            "cps",
        ),
        Panel(
            "Records removed by retention before they were processed",
            [(increase("sternpost_processor_expired_total"), "records")],
        ),
        Panel(
            "Connections that the admin port could not accept",
            [
                (
                    increase(
                        "sternpost_admin_accept_failures_total", "job", "error", matching='job="sternpost-processor"'
                    ),
                    "{{error}}",
                )
            ],
        ),
        Panel(
            "Log lines dropped",
            [
                (
                    increase("sternpost_log_lines_dropped_total", "instance", matching='job="sternpost-processor"'),
                    "{{instance}}",
                )
            ],
        ),
    ],
}

DASHBOARDS = {
    "sternpost-flow": ("Sternpost: is data flowing?", FLOW),
    "sternpost-ingest": ("Sternpost: ingest", INGEST),
    "sternpost-processor": ("Sternpost: processor", PROCESSOR),
}


def files() -> dict[str, str]:
    """Paths below deploy/ and their texts."""
    return {f"{FOLDER}/{uid}.json": render(uid, title, rows) for uid, (title, rows) in DASHBOARDS.items()}


def render(uid: str, title: str, rows: dict[str, list[Panel]]) -> str:
    """A dashboard as Grafana reads it."""
    built = (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["sternpost"])
        .description("Generated from runtime/metrics.py by deploy/generators/dashboards.py.")
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for name, label in (("namespace", "Namespace"), ("instance", "Instance")):
        built = built.with_variable(
            dashboard.QueryVariable(name)
            .label(label)
            .datasource(SOURCE)
            .query(f'label_values(up{{job=~"sternpost-(ingest|processor)"}}, {name})')
            .include_all(True)
            .all_value(".*")
            .current(VariableOption(selected=True, text="All", value="$__all"))
            .multi(True)
        )
    for row, panels in rows.items():
        built = built.with_row(dashboard.Row(row))
        for panel in panels:
            built = built.with_panel(_single(panel) if panel.single else _graph(panel))
    found = json.loads(JSONEncoder(sort_keys=True, indent=2).encode(built.build()))
    return json.dumps(found, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def meaning(panel: Panel) -> str:
    """What the metrics of the panel are, in the words of their declarations."""
    used = {name for query, _ in panel.queries for name in re.findall(r"sternpost_[a-z_]+", query)}
    declared = {name: metric for name, metric in DECLARED.items() if used & series(name)}
    return "\n\n".join(f"`{name}`: {metric.meaning}" for name, metric in declared.items())


def series(name: str) -> set[str]:
    """The names that a metric's samples have."""
    return {name, *(f"{name}_{part}" for part in ("bucket", "sum", "count"))}


def _single(panel: Panel) -> stat.Panel:
    built = (
        stat.Panel()
        .title(panel.title)
        .description(meaning(panel))
        .datasource(SOURCE)
        .unit(panel.unit)
        .height(5)
        .span(4)
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(panel))
    )
    for target in _targets(panel):
        built = built.with_target(target)
    return built


def _graph(panel: Panel) -> timeseries.Panel:
    built = (
        timeseries.Panel()
        .title(panel.title)
        .description(meaning(panel))
        .datasource(SOURCE)
        .unit(panel.unit)
        .height(8)
        .span(12)
        .min(0)
        .fill_opacity(20 if panel.stacked else 0)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL if panel.stacked else StackingMode.NONE))
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if panel.alert_above is not None:
        built = built.thresholds(_thresholds(panel)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED)
        )
    for target in _targets(panel):
        built = built.with_target(target)
    return built


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color="green")]
    if panel.alert_above is not None:
        steps.append(Threshold(value=panel.alert_above, color="red"))
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _targets(panel: Panel) -> list[prometheus.Dataquery]:
    return [
        prometheus.Dataquery().datasource(SOURCE).expr(query).legend_format(legend).ref_id(chr(ord("A") + index))
        for index, (query, legend) in enumerate(panel.queries)
    ]

"""The way of the data as it is now: rates, lag, faults and what to do about them, and the last hour."""

import time
from typing import Any

from nicegui import ui

from sternpost.console.monitor import Point
from sternpost.console.page import Page, PageView
from sternpost.console.refresher import show_error
from sternpost.console.text import Text, age
from sternpost.operations.doctor.check import Check
from sternpost.operations.severity import Severity

TICK_S = 2.0
MOST_KINDS = 12
"""Pairs of code and source: there can be any number, since whoever writes to the raw topic can invent sources."""
LATE_S = 60.0
"""Lag above this is a warning: `doctor` says when it is a fault."""

_SEVERE = {Severity.FAULT: "bad", Severity.WARNING: "warn"}


def build(view: PageView) -> None:
    """Put the page together."""
    overview = _Overview(view)
    ui.timer(TICK_S, overview.show)


class _Overview:
    def __init__(self, view: PageView) -> None:
        self._monitor = view.console.monitor
        self._settings = view.settings
        self._drawn: object = None
        self._checked: float = -1.0
        self._banner = ui.element("div").classes("banner").props("role=alert")
        self._faults = ui.element("section").classes("stack faults").props('aria-label="Faults"')
        self._flow = ui.element("section").classes("flow").props('aria-label="The way of the data"')
        with ui.element("section").classes("grid charts").props('aria-label="The last hour"'):
            self._rates = _Chart("Raw records a second", ("received", "processed"))
            self._lag = _Chart("Seconds behind", ("lag",))
            self._ack = _Chart("Acknowledgement, p99 in ms", ("p99",))
        with ui.element("div").classes("grid"):
            self._letters = ui.element("section").classes("card")
            self._group = ui.element("section").classes("card")
            self._known = ui.element("section").classes("card")

    def show(self) -> None:
        """Show the newest look."""
        self._show_problem()
        if self._monitor.checks is not None and self._monitor.checked_at != self._checked:
            self._checked = self._monitor.checked_at
            self._show_faults(self._monitor.checks)
        snapshot = self._monitor.snapshot
        if snapshot is self._drawn and snapshot is not None:
            return
        self._drawn = snapshot
        self._show_flow()
        self._show_letters()
        self._show_group()
        self._show_known()
        points = list(self._monitor.points)
        self._rates.show(points, lambda p: p.received, lambda p: p.processed)
        self._lag.show(points, lambda p: p.lag_seconds)
        self._ack.show(points, lambda p: None if p.acknowledged_p99_s is None else p.acknowledged_p99_s * 1000)

    def _show_problem(self) -> None:
        problem, snapshot = self._monitor.problem, self._monitor.snapshot
        if problem is not None:
            show_error(self._banner, problem, snapshot.at_ms / 1000 if snapshot else None)
        elif self._banner.default_slot.children:
            self._banner.clear()
            self._banner.classes(remove="banner-fault")

    def _show_faults(self, checks: list[Check]) -> None:
        self._faults.clear()
        found = [check for check in checks if check.severity in _SEVERE]
        with self._faults:
            for check in sorted(found, key=lambda check: check.severity is not Severity.FAULT):
                with ui.element("div").classes(f"fault fault-{_SEVERE[check.severity]}"):
                    with ui.element("div").classes("fault-head"):
                        ui.icon("error" if check.severity is Severity.FAULT else "warning").props("aria-hidden=true")
                        Text("span", f"{check.severity.capitalize()}: {check.name}", "fault-name")
                    Text("div", check.detail)
                    if check.remedy:
                        Text("div", f"What to do: {check.remedy}", "fault-remedy")
            with ui.element("div").classes("bar quiet checked"):
                if not found:
                    ui.icon("check_circle").classes("good").props("aria-hidden=true")
                    passed = sum(check.severity is Severity.OK for check in checks)
                    Text("span", f"No faults: {passed} checks passed")
                at = time.strftime("%H:%M:%S", time.localtime(self._checked))
                Text("span", f"checked at {at}, as `sternpost doctor` does without changing anything")
                ui.button("Check again", on_click=self._check_again).props("flat dense no-caps")

    def _check_again(self) -> None:
        self._monitor.check_again()
        ui.notify("checking …", timeout=1_500)

    def _show_flow(self) -> None:
        self._flow.clear()
        snapshot, rates = self._monitor.snapshot, self._monitor.rates
        topics = self._settings.topics
        received = snapshot.throughput.received if snapshot and snapshot.throughput else None
        processed = snapshot.throughput.processed if snapshot and snapshot.throughput else None
        faulty = self._faulty()
        with self._flow:
            with _node("Webhooks", "login", "bad" if "endpoint" in faulty else ""):
                answers = rates.answers if rates else {}
                if rates is None:
                    _figure("–", "ingest's metrics are not reachable")
                else:
                    _figure(f"{sum(answers.values()):,.1f}", "answers a second")
                    for outcome, rate in sorted(answers.items(), key=lambda one: -one[1])[:4]:
                        _fact(outcome, f"{rate:,.2f}/s", "" if outcome == "ok" else "warn")
                    if rates.acknowledged_p50_s is not None and rates.acknowledged_p99_s is not None:
                        _fact("acknowledged p50", f"{rates.acknowledged_p50_s * 1000:,.1f} ms")
                        _fact("p99", f"{rates.acknowledged_p99_s * 1000:,.1f} ms")
            _arrow(moving=bool(received))
            with _node(topics.raw, "storage", ""):
                _figure(_rate(received), "raw records a second")
                if snapshot:
                    _fact("partitions", str(len(snapshot.partitions)))
                    _fact("kept", f"{sum(p.end - p.start for p in snapshot.partitions):,} offsets")
            _arrow(moving=bool(processed))
            late = (snapshot.lag_seconds or 0.0) if snapshot else 0.0
            members = len(snapshot.group.members) if snapshot else 0
            state = "bad" if snapshot and not members else "warn" if late > LATE_S else ""
            with _node("Processor", "settings", state):
                _figure(_rate(processed), "raw records a second")
                if snapshot:
                    _fact("behind", f"{snapshot.lag:,} records", "warn" if late > LATE_S else "")
                    _fact("oldest of them", age(late) if late else "–", "warn" if late > LATE_S else "")
                    _fact("members", f"{members} ({snapshot.group.state})", "" if members else "bad")
                    if snapshot.duplicates is not None:
                        _fact("duplicates since start", f"{snapshot.duplicates:,}")
            _arrow(moving=bool(processed), fork=True)
            with ui.element("div").classes("outcomes"):
                with _node(topics.events, "outbox", "bad" if snapshot and snapshot.schema.problem else ""):
                    _figure(_rate(rates.events if rates else None), "events a second")
                    if snapshot:
                        schema = snapshot.schema
                        known = f"version {schema.version}, id {schema.id}" if schema.id is not None else "not found"
                        _fact("schema", known, "bad" if schema.problem else "")
                letters = snapshot.dead_letters.by_code_and_source.total() if snapshot else 0
                with _node(topics.dead_letters, "report", "warn" if letters else ""):
                    _figure(f"{letters:,}" if snapshot else "–", "dead letters not sent back")
                    if rates is not None and rates.dead_letters is not None:
                        _fact("new", f"{rates.dead_letters:,.2f}/s", "warn" if rates.dead_letters else "")

    def _faulty(self) -> set[str]:
        return {check.name for check in self._monitor.checks or () if check.severity is Severity.FAULT}

    def _show_letters(self) -> None:
        self._letters.clear()
        snapshot = self._monitor.snapshot
        with self._letters:
            Text("h2", "Dead letters by code and source")
            if snapshot is None:
                Text("p", "Not known yet.", "quiet")
                return
            dead = snapshot.dead_letters
            counts = dead.by_code_and_source.most_common()
            if not counts:
                Text("p", "None.", "quiet")
            else:
                with _table("code", "source", "number"):
                    for (code, source), number in counts[:MOST_KINDS]:
                        with ui.element("tr"):
                            Text("td", code, "mono")
                            Text("td", source)
                            Text("td", f"{number:,}", "number")
            if more := counts[MOST_KINDS:]:
                Text("p", f"and {sum(n for _, n in more):,} of {len(more):,} more kinds", "quiet")
            if dead.redriven:
                Text("p", f"{dead.redriven:,} others were sent back.", "quiet")
            if not dead.complete:
                Text("p", "Counted among the newest 100,000 records of the topic.", "quiet")

    def _show_group(self) -> None:
        self._group.clear()
        snapshot = self._monitor.snapshot
        with self._group:
            Text("h2", "Members and partitions")
            if snapshot is None:
                Text("p", "Not known yet.", "quiet")
                return
            if not snapshot.group.members:
                Text("p", "No members: no processor is running. Start `sternpost process`.", "bad")
            lags = {partition.partition: partition for partition in snapshot.partitions}
            with _table("member", "host", "partitions", "behind"):
                for member in snapshot.group.members:
                    behind = sum(lags[number].lag for number in member.partitions if number in lags)
                    with ui.element("tr"):
                        Text("td", member.instance_id or "–")
                        Text("td", member.host)
                        Text("td", _ranges(member.partitions), "mono")
                        Text("td", f"{behind:,}", "number")
            owned = {number for member in snapshot.group.members for number in member.partitions}
            if unowned := sorted(lags.keys() - owned):
                Text("p", f"Nobody has partition {_ranges(unowned)}.", "warn")
            if expired := sum(partition.expired for partition in snapshot.partitions):
                Text("p", f"{expired:,} records were removed by retention before they were processed.", "bad")

    def _show_known(self) -> None:
        """Say where the figures come from, and what is not known."""
        self._known.clear()
        snapshot, scrape = self._monitor.snapshot, self._monitor.scrape
        with self._known:
            Text("h2", "What this page knows")
            if snapshot is not None:
                brokers = "1 broker" if snapshot.brokers == 1 else f"{snapshot.brokers} brokers"
                Text("p", f"Kafka: cluster {snapshot.cluster_id}, {brokers}.")
                if snapshot.schema.problem:
                    Text("p", f"Registry: {snapshot.schema.problem}", "bad")
                for service in snapshot.services:
                    if service.timed_out:
                        Text("p", f"{service.name} at {service.address}: {service.reason}", "bad")
                    elif service.reachable and not service.ready:
                        Text("p", f"{service.name} is not ready: {service.reason}", "warn")
            if scrape is None:
                return
            for address in scrape.samples:
                Text("p", f"Metrics: {address}.")
            for address, reason in scrape.silent.items():
                Text("p", f"No metrics from {address}: {reason}.", "quiet")
            if scrape.silent:
                Text(
                    "p",
                    "Answers, acknowledgement times and events a second come from the services' metrics. If the "
                    "services are elsewhere, list their addresses in console.metrics.",
                    "quiet",
                )


class _Chart:
    """A line chart of the last hour."""

    def __init__(self, title: str, names: tuple[str, ...]) -> None:
        with ui.element("div").classes("card chart"):
            Text("h2", title)
            self._chart = ui.echart(_options(names)).classes("plot").props(f'role=img aria-label="{title}, last hour"')

    def show(self, points: list[Point], *values: Any) -> None:
        """Show a series for each function from a point to its value."""
        now = time.time() * 1000
        axis = self._chart.options["xAxis"]
        axis["min"], axis["max"] = now - 3_600_000, now
        for series, value in zip(self._chart.options["series"], values, strict=True):
            series["data"] = [[point.at_ms, value(point)] for point in points]
        self._chart.update()


_COLOURS = ("#2f9bc4", "#e0912b")
_AXIS = "#7b8c97"


def _options(names: tuple[str, ...]) -> dict[str, Any]:
    label = {"color": _AXIS, "fontSize": 11}
    return {
        "animation": False,
        "color": list(_COLOURS),
        "grid": {"left": 44, "right": 12, "top": 26 if len(names) > 1 else 10, "bottom": 24},
        "legend": {"show": len(names) > 1, "top": 0, "right": 0, "itemHeight": 8, "textStyle": label},
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "time",
            "axisLabel": {**label, "hideOverlap": True},
            "axisLine": {"lineStyle": {"color": _AXIS}},
        },
        "yAxis": {
            "type": "value",
            "min": 0,
            "minInterval": 0.001,
            "splitNumber": 3,
            "axisLabel": label,
            "splitLine": {"lineStyle": {"color": _AXIS, "opacity": 0.25}},
        },
        "series": [
            {
                "name": name,
                "type": "line",
                "showSymbol": False,
                "lineStyle": {"width": 2},
                "areaStyle": {"opacity": 0.12},
                "data": [],
            }
            for name in names
        ],
    }


def _node(title: str, icon: str, state: str) -> ui.element:
    node = ui.element("div").classes(f"card node {f'node-{state}' if state else ''}")
    with node, ui.element("div").classes("node-head"):
        ui.icon(icon).props("aria-hidden=true")
        Text("h2", title)
    return node


def _arrow(*, moving: bool, fork: bool = False) -> None:
    classes = f"arrow {'arrow-moving' if moving else ''} {'arrow-fork' if fork else ''}"
    ui.element("div").classes(classes).props("aria-hidden=true")


def _figure(text: str, unit: str) -> None:
    with ui.element("div").classes("node-figure"):
        Text("span", text, "figure")
        Text("span", unit, "unit")


def _fact(name: str, text: str, state: str = "") -> None:
    with ui.element("div").classes("fact"):
        Text("span", name, "quiet")
        Text("span", text, state)


def _rate(rate: float | None) -> str:
    return "–" if rate is None else f"{max(0.0, rate):,.1f}"


def _table(*heads: str) -> ui.element:
    with ui.element("table").classes("plain"):
        with ui.element("thead"), ui.element("tr"):
            for head in heads:
                Text("th", head, "number" if head in ("number", "behind") else "").props("scope=col")
        return ui.element("tbody")


def _ranges(numbers: list[int]) -> str:
    """Write numbers in short: `0-3, 7`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts) or "–"


PAGE = Page("/", "Overview", "monitor_heart", "status --watch", build)

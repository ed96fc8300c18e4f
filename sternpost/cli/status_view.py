"""A status snapshot as tables for a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sternpost.cli.output import pluralize, text
from sternpost.operations.status.dead_letters import MOST
from sternpost.operations.status.service import ServiceStatus
from sternpost.operations.status.snapshot import Snapshot

MOST_KINDS = 10
"""Pairs of code and source to show. There can be any number: whoever writes to the raw topic can invent sources."""


def view(snapshot: Snapshot) -> RenderableType:
    """Return the whole snapshot; colours mark what needs attention."""
    return Group(_head(snapshot), Text(""), _partitions(snapshot), Text(""), _rest(snapshot))


def _head(snapshot: Snapshot) -> RenderableType:
    group = snapshot.group
    rows = Table.grid(padding=(0, 2))
    rows.add_row(Text("cluster", "bold"), f"{snapshot.cluster_id}, {pluralize(snapshot.brokers, 'broker')}")
    members = pluralize(len(group.members), "member") if group.members else "no members: no processor is running"
    rows.add_row(
        Text("group", "bold"), Text(f"{group.group_id}: {group.state}, {members}", "" if group.members else "yellow")
    )
    behind = pluralize(snapshot.lag, "record") + (f", {_age(snapshot.lag_seconds)}" if snapshot.lag_seconds else "")
    rows.add_row(Text("behind", "bold"), Text(behind, "yellow" if snapshot.lag else "green"))
    if (rate := snapshot.throughput) is not None:
        rows.add_row(
            Text("per second", "bold"), f"{rate.received:,.1f} received, {rate.processed:,.1f} processed (raw records)"
        )
    return rows


def _partitions(snapshot: Snapshot) -> RenderableType:
    owners = {p: member.instance_id or member.host for member in snapshot.group.members for p in member.partitions}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("partition", "committed", "end", "behind", "oldest"):
        table.add_column(name, justify="right")
    table.add_column("member")
    for partition in snapshot.partitions:
        table.add_row(
            str(partition.partition),
            "-" if partition.committed is None else str(partition.committed),
            str(partition.end),
            Text(str(partition.lag), "yellow" if partition.lag else ""),
            "" if partition.lag_seconds is None else _age(partition.lag_seconds),
            text(owners.get(partition.partition, "-")),
        )
        if partition.expired:
            table.add_row("", "", "", Text(f"{partition.expired} expired unprocessed", "bold red"))
        if partition.high_watermark > partition.end:
            table.add_row("", "", "", Text("a transaction is open", "yellow"))
    return table


def _rest(snapshot: Snapshot) -> RenderableType:
    rows = Table.grid(padding=(0, 2))
    dead = snapshot.dead_letters
    counts = dead.by_code_and_source.most_common()
    letters = ", ".join(f"{number} {code} of {source}" for (code, source), number in counts[:MOST_KINDS]) or "none"
    if more := counts[MOST_KINDS:]:
        letters += (
            f", and {sum(number for _, number in more)} of {len(more)} more kinds (`sternpost dead-letters list`)"
        )
    sent_back = f" ({dead.redriven} sent back)" if dead.redriven else ""
    among = "" if dead.complete else f"; of the newest {MOST} records: `sternpost dead-letters list` counts all"
    rows.add_row(Text("dead letters", "bold"), text(letters + sent_back + among, "yellow" if counts else "green"))
    if snapshot.duplicates is not None:
        number = pluralize(snapshot.duplicates, "record")
        rows.add_row(Text("duplicates", "bold"), f"{number} since the processor on this machine started")
    schema = snapshot.schema
    if schema.problem:
        rows.add_row(Text("schema", "bold"), text(schema.problem, "red"))
    else:
        newest = "" if schema.newest_event_id in (None, schema.id) else f"; newest event: id {schema.newest_event_id}"
        rows.add_row(Text("schema", "bold"), f"{schema.subject} version {schema.version}, id {schema.id}{newest}")
    for service in snapshot.services:
        rows.add_row(Text(service.name, "bold"), text(*_service(service)))
    return rows


def _service(service: ServiceStatus) -> tuple[str, str]:
    if not service.reachable:
        return f"{service.address}: {service.reason}", "yellow" if service.timed_out else "dim"
    if not service.ready:
        return f"{service.address}: not ready: {service.reason}", "yellow"
    return f"{service.address}: ready", "green"


def _age(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"

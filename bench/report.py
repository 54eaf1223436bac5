"""Results: tables for people, JSON for programs, a picture."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import picture
from measures import Column, Contender
from scenarios import Scenario

# Beyond these a table says that it was disturbed.
LAG_MICROSECONDS = 200
OTHERS_CORES = 0.1


@dataclass(frozen=True)
class Table:
    """A scenario with the rows of all turns."""

    scenario: Scenario
    contenders: list[Contender]
    rows: list[dict]

    @property
    def labels(self) -> list[str]:
        return [each.label for each in self.contenders]

    @property
    def failures(self) -> dict[str, str]:
        """By contender, what kept it from being measured."""
        return {row["contender"]: row["failure"] for row in self.rows if "failure" in row}

    def values(self, label: str, column: Column) -> list[float]:
        """Of one contender, in all turns that have it."""
        rows = (row for row in self.rows if row["contender"] == label)
        return [row[column.key] for row in rows if row.get(column.key) is not None]

    def costs(self) -> dict[str, tuple[float, float, float]]:
        """Of each contender that was measured: median, least and most."""
        found = {label: self.values(label, self.scenario.cost) for label in self.labels}
        return {
            label: (statistics.median(values), min(values), max(values))
            for label, values in found.items()
            if values
        }


def cells(table: Table) -> list[list[str]]:
    """Heading and rows. Ratios are to the first contender that was measured, or the first of its series."""
    columns = table.scenario.columns
    heads = ["", *(column.heading for column in columns), "ratio"]
    costs = table.costs()
    bases: dict[str, float] = {}
    lines = [heads]
    for contender in table.contenders:
        label = contender.label
        if label not in costs:
            lines.append([label, "failed", *[""] * len(columns)])
            continue
        base = bases.setdefault(contender.series, costs[label][0])
        ratio = f"{costs[label][0] / base:.2f}" if base else ""
        figures = [figure(table.values(label, column), column) for column in columns]
        lines.append([label, *figures, ratio])
    return lines


def figure(values: list[float], column: Column) -> str:
    """The median, and with several turns the extremes where the column shows them."""
    if not values:
        return "–"
    middle = f"{statistics.median(values):,.{column.digits}f}"
    if not column.spread or len(values) == 1:
        return middle
    return f"{middle} ({min(values):,.{column.digits}f}–{max(values):,.{column.digits}f})"


def notes(table: Table) -> list[str]:
    """What has to be known beside the figures."""
    lines = [f"{label} failed: {why}" for label, why in table.failures.items()]
    lost = {row["contender"] for row in table.rows if row.get("rate_lost")}
    if lost:
        lines.append(f"not all answered at the fixed rate: {', '.join(sorted(lost))}")
    lag = max((row.get("own_lag_p99", 0) for row in table.rows), default=0)
    if lag > LAG_MICROSECONDS:
        lines.append(f"at the fixed rate the client itself was late, by up to {lag:,} µs (p99)")
    others = max((row.get("others_cores", 0) for row in table.rows), default=0)
    if others > OTHERS_CORES:
        lines.append(f"other processes of the machine used up to {others:.1f} cores meanwhile")
    return lines


def text(table: Table) -> str:
    """For the terminal."""
    lines = cells(table)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    shown = [f"{table.scenario.name}: {table.scenario.title}"]
    for line in lines:
        aligned = [line[0].ljust(widths[0])]
        aligned += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        shown.append("  ".join(aligned).rstrip())
    return "\n".join(shown + notes(table))


def markdown(head: dict[str, str], tables: list[Table]) -> str:
    lines = ["# Results of the bench", ""]
    lines += ["| | |", "|---|---|"] + [f"| {name} | {value} |" for name, value in head.items()]
    for table in tables:
        lines += ["", f"## {table.scenario.name}: {table.scenario.title}", ""]
        first, *rest = cells(table)
        lines += [row(first), row(["---", *["--:"] * (len(first) - 1)])]
        lines += [row(line) for line in rest]
        lines += [f"\n{note}" for note in notes(table)]
    return "\n".join(lines) + "\n"


def row(line: list[str]) -> str:
    return f"| {' | '.join(line)} |"


def write(folder: Path, name: str, head: dict[str, str], tables: list[Table]) -> list[Path]:
    """All three into this folder, under this name; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    scenarios = {
        table.scenario.name: {
            "title": table.scenario.title,
            "summary": [dict(zip(cells(table)[0], line)) for line in cells(table)[1:]],
            "turns": table.rows,
        }
        for table in tables
    }
    panels = [
        picture.Panel(
            table.scenario.title,
            table.scenario.cost.heading,
            table.costs(),
            ranked=not any(each.series for each in table.contenders),
        )
        for table in tables
    ]
    contents = {
        f"{name}.json": json.dumps({"head": head, "scenarios": scenarios}, indent=1) + "\n",
        f"{name}.md": markdown(head, tables),
        f"{name}.svg": picture.draw(panels, f"{head['date']}, {head['machine']}"),
    }
    for file, content in contents.items():
        (folder / file).write_text(content)
    return [folder / file for file in contents]

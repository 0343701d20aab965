"""The committed dashboards as data, for tests: panels, and their queries without variables."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "grafana" / "dashboards"
FILES = tuple(sorted(FOLDER.glob("*.json")))

AS_NUMBERS = {"price_in": "2", "price_out": "6"}
AS_PATTERNS = ("job", "instance", "page")


@dataclass(frozen=True)
class Shown:
    """One query of one panel. `test_prometheus` of tests/e2e asks it of a real Prometheus."""

    board: str
    panel: str
    expr: str


def boards() -> dict[str, dict[str, Any]]:
    """Each dashboard by its file's name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FILES}


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Without the rows' titles."""
    return (panel for panel in board["panels"] if panel["type"] != "row")


def queries(rate: str = "5m", span: str = "1h") -> list[Shown]:
    """Every query as Grafana would ask it with everything chosen.

    Args:
        rate: in place of `$__rate_interval`.
        span: in place of `$__range`.
    """
    return [
        Shown(name, panel["title"], asked(target["expr"], rate, span))
        for name, board in boards().items()
        for panel in panels(board)
        for target in panel["targets"]
    ]


def asked(expr: str, rate: str = "5m", span: str = "1h") -> str:
    expr = expr.replace("$__rate_interval", rate).replace("$__range", span)
    for name in AS_PATTERNS:
        expr = expr.replace(f'"${name}"', '".*"')
    for name, number in AS_NUMBERS.items():
        expr = expr.replace(f"${name}", number)
    return expr

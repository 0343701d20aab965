"""Which metrics the code registers, and whether a PromQL expression asks only for those.

A rule or a panel about a metric that nobody counts is never true and never tells.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

import promql_parser
import yaml
from prometheus_client.metrics import MetricWrapperBase

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy" / "prometheus" / "rules"
SCRAPED = frozenset({"job", "instance"})
"""Labels that Prometheus adds to all it scrapes."""

# what Prometheus says of a scrape, and prometheus_client of every process
_OTHERS: Mapping[str, frozenset[str]] = {
    "up": frozenset(),
    "ALERTS": frozenset({"alertname", "alertstate", "severity"}),
    "scrape_duration_seconds": frozenset(),
    "process_start_time_seconds": frozenset(),
    "process_cpu_seconds_total": frozenset(),
    "process_resident_memory_bytes": frozenset(),
    "process_open_fds": frozenset(),
    "process_max_fds": frozenset(),
    "python_info": frozenset({"implementation", "major", "minor", "patchlevel", "version"}),
    "python_gc_collections_total": frozenset({"generation"}),
}
_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


@cache
def registered() -> Mapping[str, frozenset[str]]:
    """Every series' name as Prometheus has it, and its labels but `job` and `instance`."""
    found = dict(_OTHERS)
    for metric in _metrics():
        (family,) = metric.describe()
        for suffix in _SUFFIXES[family.type]:
            labels = frozenset(metric._labelnames) | ({"le"} if suffix == "_bucket" else set())
            found[family.name + suffix] = labels
    return found


@cache
def recorded() -> Mapping[str, frozenset[str]]:
    """The same of every recording rule, as far as its expression tells."""
    rules = [
        rule
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "record" in rule
    ]
    known: dict[str, frozenset[str]] = dict(registered())
    for _ in rules:  # a rule may stand on one that is listed after it
        for rule in rules:
            known[rule["record"]] = _left_over(promql_parser.parse(str(rule["expr"])), known)
    return {rule["record"]: known[rule["record"]] for rule in rules}


def names_and_labels(expression: str) -> list[tuple[str, frozenset[str]]]:
    """Each selector's name, and the labels that it matches by itself."""
    return [
        (selector.name or "", frozenset(matcher.name for matcher in selector.matchers.matchers))
        for selector in _selectors(promql_parser.parse(expression))
    ]


def complaints(expression: str) -> list[str]:
    """What an expression asks for that nobody tells: metrics, labels, groups. Empty: all is well.

    Raises:
        ValueError: it is not PromQL.
    """
    known = {**registered(), **recorded()}
    found = []
    for name, labels in names_and_labels(expression):
        if name not in known:
            found.append(f"no metric {name}")
            continue
        found += [f"{name} has no {label}" for label in sorted(labels - known[name] - SCRAPED)]
    for node, labels in _grouped(promql_parser.parse(expression)):
        names = {selector.name or "" for selector in _selectors(node)}
        told = SCRAPED.union(*(known.get(name, frozenset()) for name in names))
        found += [f"nothing has {label}: {sorted(names)}" for label in sorted(labels - told)]
    return found


def left_over(expression: str) -> frozenset[str]:
    """The labels that series of an expression's result may have."""
    known = {**registered(), **recorded()}
    return _left_over(promql_parser.parse(expression), known) | SCRAPED


def _metrics() -> Iterator[MetricWrapperBase]:
    for folder in ("libs", "services"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "from prometheus_client import" in path.read_text(encoding="utf-8"):
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                values = vars(import_module(name)).values()
                yield from (each for each in values if isinstance(each, MetricWrapperBase))


def _nodes(expression: promql_parser.Expr) -> list[promql_parser.Expr]:
    found: list[promql_parser.Expr] = []
    promql_parser.walk(expression, pre_visit=found.append)
    return found


def _selectors(expression: promql_parser.Expr) -> list[promql_parser.VectorSelector]:
    return [node for node in _nodes(expression) if isinstance(node, promql_parser.VectorSelector)]


def _grouped(
    expression: promql_parser.Expr,
) -> Iterator[tuple[promql_parser.Expr, frozenset[str]]]:
    """Whatever is grouped or matched by labels, with those labels."""
    for node in _nodes(expression):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            yield node.expr, frozenset(node.modifier.labels)
        elif isinstance(node, promql_parser.BinaryExpr) and node.modifier is not None:
            matching = node.modifier.matching
            if matching is not None:
                yield node.lhs, frozenset(matching.labels)
                yield node.rhs, frozenset(matching.labels)


def _left_over(
    expression: promql_parser.Expr, known: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    """The labels of a rule's result: those that its outermost aggregation leaves."""
    if isinstance(expression, promql_parser.AggregateExpr):
        if str(expression.op) in ("topk", "bottomk"):
            return _left_over(expression.expr, known)
        by = expression.modifier
        if by is None:
            return frozenset()
        if by.type == promql_parser.AggModifierType.By:
            return frozenset(by.labels)
        return _left_over(expression.expr, known) - frozenset(by.labels)
    if isinstance(expression, promql_parser.ParenExpr):
        return _left_over(expression.expr, known)
    if isinstance(expression, promql_parser.BinaryExpr):
        return _left_over(expression.lhs, known) | _left_over(expression.rhs, known)
    if isinstance(expression, promql_parser.Call):
        return frozenset().union(*(_left_over(each, known) for each in expression.args))
    names = [selector.name or "" for selector in _selectors(expression)]
    return frozenset().union(*(known.get(name, frozenset()) for name in names))

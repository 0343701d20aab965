"""Expressions that dashboards ask for again and again."""

from deploy.observability.kit import Query

RATE = "$__rate_interval"
HERE = 'job=~"$job", instance=~"$instance"'


def per_minute(metric: str, matching: str = "", by: str = "") -> str:
    """How often a minute, summed over all replicas."""
    grouped = f" by ({by})" if by else ""
    return f"60 * sum{grouped} (rate({metric}{_braces(matching)}[{RATE}]))"


def quantile(share: float, histogram: str, matching: str = "", by: str = "") -> str:
    grouped = f"le, {by}" if by else "le"
    rates = f"sum by ({grouped}) (rate({histogram}_bucket{_braces(matching)}[{RATE}]))"
    return f"histogram_quantile({share}, {rates})"


def quantiles(histogram: str, matching: str = "") -> tuple[Query, ...]:
    """How long half of it took, and all but few."""
    return (
        Query(quantile(0.5, histogram, matching), "half"),
        Query(quantile(0.95, histogram, matching), "95 of 100"),
        Query(quantile(0.99, histogram, matching), "99 of 100"),
    )


def _braces(matching: str) -> str:
    return f"{{{matching}}}" if matching else ""

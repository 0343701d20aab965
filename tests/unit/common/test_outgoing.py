"""Who of us asks something over HTTP, and on whose word: nobody does so unseen, none is led on."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
CLIENTS = {
    "ClientSession",
    "AsyncClient",
    "AsyncHTTPTransport",
    "PooledTransport",
    "TCPConnector",
    "urlopen",
}
METHODS = {"get", "post", "put", "delete", "patch", "head", "options", "request", "ws_connect"}

# Where a client is made, and who says where it goes.
MAKERS = {
    "libs/common/graph/calls.py": "whoever runs it: GRAPH_API_URL",
    "services/console/doctor/doctor.py": "whoever runs it: PUBLIC_URL, GRAPH_API_URL, services",
    "services/console/internal.py": "whoever runs it: addresses of our services",
    "services/console/pictures.py": "Meta, by way of people: `domain/pictures.py` judges",
    "services/conversation/assistants/guarded.py": "administrators: `outbound.py` judges",
    "services/conversation/webhook_client.py": "administrators: `outbound.py` judges",
}

# Makes connections, and asks nothing by itself: whoever makes one of its transports is a maker.
POOLS = "services/conversation/assistants/pools.py"


def trees() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("libs", "services"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.Module) -> Iterator[tuple[str, str, ast.Call]]:
    """What is called on what."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node.func.attr, ast.unparse(node.func.value), node
            elif isinstance(node.func, ast.Name):
                yield node.func.id, "", node


def test_every_client_is_known() -> None:
    found = {path for path, tree in trees() for name, _, _ in calls(tree) if name in CLIENTS}
    assert found == {*MAKERS, POOLS}


def test_no_request_follows_a_redirect() -> None:
    """A token would go along, and an address that was judged would lead to one that was not."""
    asked, led_on = set(), []
    for path, tree in trees():
        for name, on, node in calls(tree):
            if name in METHODS and on.lower().endswith("session"):
                asked.add(path)
                given = {each.arg: ast.unparse(each.value) for each in node.keywords}
                if given.get("allow_redirects") != "False":
                    led_on.append(f"{path}:{node.lineno}")
            if name == "AsyncClient":
                asked.add(path)
                given = {each.arg: ast.unparse(each.value) for each in node.keywords}
                if given.get("follow_redirects") != "False":
                    led_on.append(f"{path}:{node.lineno}")
    assert led_on == []
    assert asked >= set(MAKERS) - {"services/console/doctor/doctor.py"}, "the search finds nothing"

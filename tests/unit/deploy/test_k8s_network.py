"""NetworkPolicies allow the calls that the code makes, and no others."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

import services.console.app
import services.gateway.app
from deploy.local.ports import DEFAULTS
from libs.common.web import OPEN_PATHS, Readiness
from tests.unit.deploy.manifests import (
    COMPONENTS,
    LOADS,
    OVERLAYS,
    SERVICES,
    Manifest,
    environment_of,
    fits,
    name_of,
    of_kind,
    one,
    pod_of,
    rendered,
    settings_of,
)
from tests.unit.docs.variables import ROOTS, variables

ANYWHERE = "anywhere"
INTERNET = "internet"
KAFKA = {*SERVICES, "topics"}  # who reads KAFKA_BOOTSTRAP_SERVERS
MONGODB = {name for name in SERVICES if "MONGODB_URI" in {v.name for v in variables(ROOTS[name])}}
CALLS_OUT = {"conversation", "sender", "console"}
"""Who calls Meta, models and webhooks: those that read GRAPH_API_URL."""

Call = tuple[str, str, int]  # from, to, port


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_may_make_the_calls_that_the_code_makes_and_no_others(overlay: str) -> None:
    manifests = rendered(overlay)
    between = {*_outgoing(manifests)} & {*_incoming(manifests)}

    inside = {call for call in between if call[0] in _pods(manifests)}
    assert inside == _calls_of_the_code(manifests, overlay)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_from_elsewhere_only_the_ingress_and_prometheus_may_call(overlay: str) -> None:
    others = {
        (source, target, port)
        for source, target, port in _incoming(rendered(overlay))
        if source.startswith("namespaces ")
    }
    ingress = {("namespaces ingress", name, DEFAULTS[name]) for name in ("gateway", "console")}
    metrics = {("namespaces monitoring", name, DEFAULTS[name]) for name in SERVICES}
    assert others == ingress | metrics


def test_nobody_calls_out_who_need_not() -> None:
    assert {name for name in SERVICES if "GRAPH_API_URL" in _reads(name)} == CALLS_OUT
    out = {*_outgoing(rendered("production"))}
    assert {source for source, to, _ in out if to == INTERNET} == CALLS_OUT
    assert {port for _, to, port in out if to == INTERNET} == {443}
    anywhere = {(source, port) for source, to, port in out if to == ANYWHERE}
    assert {port for _, port in anywhere} == {53, 27017, *range(9092, 9099)}
    assert {source for source, port in anywhere if port == 9092} == KAFKA
    assert {source for source, port in anywhere if port == 27017} == MONGODB


def test_traces_go_where_their_variable_says() -> None:
    manifests = rendered("production", COMPONENTS)
    for name in SERVICES:
        settings = settings_of(manifests, one(manifests, "Deployment", name))
        port = urlsplit(settings["OTEL_EXPORTER_OTLP_ENDPOINT"]).port
        assert (name, "namespaces monitoring", port) in {*_outgoing(manifests)}
    assert not any(to == "namespaces monitoring" for _, to, _ in _outgoing(rendered("production")))


def test_the_internet_is_nothing_inside() -> None:
    policy = one(rendered("production"), "NetworkPolicy", "to-internet")
    blocks = [to["ipBlock"] for to in policy["spec"]["egress"][0]["to"]]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= {
        each for block in blocks for each in block["except"]
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_closed_unless_something_opens_it(overlay: str) -> None:
    manifests = rendered(overlay)
    closed = one(manifests, "NetworkPolicy", "default-deny")["spec"]
    assert {*closed["policyTypes"]} == {"Ingress", "Egress"}
    assert not {"ingress", "egress"} & closed.keys()
    for load in of_kind(manifests, *LOADS):
        assert fits(closed["podSelector"], pod_of(load)), name_of(load)


APPS: dict[str, Callable[[Any, Readiness], web.Application]] = {
    "gateway": services.gateway.app.create_app,
    "console": services.console.app.create_app,
}


@pytest.mark.parametrize("components", [(), ("gateway-api",)])
@pytest.mark.parametrize("name", [*APPS])
def test_from_outside_every_public_path_is_reached_and_none_that_is_ours(
    name: str, components: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = rendered("production", components)
    deployment = one(manifests, "Deployment", name)
    for variable, value in environment_of(manifests, deployment).items():
        monkeypatch.setenv(variable, value)
    app = APPS[name](ROOTS[name](), Readiness())
    _, paths = _way_in(manifests, name)

    def leads(path: str) -> bool:
        return any(
            path == known or (is_prefix and path.startswith(known.rstrip("/") + "/"))
            for known, is_prefix in paths
        )

    public = {path for path in _paths(app) if path not in OPEN_PATHS}
    assert {path for path in public if not leads(path)} == set()
    assert {path for path in OPEN_PATHS if leads(path)} == set()
    assert [known for known, _ in paths if not any(path.startswith(known) for path in public)] == []


@pytest.mark.parametrize("components", [(), ("gateway-api",)])
def test_the_hosts_are_those_of_the_settings(components: tuple[str, ...]) -> None:
    manifests = rendered("production", components)
    for name, variable in (("gateway", "PUBLIC_URL"), ("console", "CONSOLE_URL")):
        url = settings_of(manifests, one(manifests, "Deployment", name))[variable]
        hosts, _ = _way_in(manifests, name)
        assert hosts == {urlsplit(url).hostname}


def _way_in(manifests: tuple[Manifest, ...], name: str) -> tuple[set[str], list[tuple[str, bool]]]:
    """Hosts, and paths with whether all below them is meant: of an Ingress or of an HTTPRoute."""
    (way,) = (e for e in of_kind(manifests, "Ingress", "HTTPRoute") if name_of(e) == name)
    spec = way["spec"]
    (rule,) = spec["rules"]
    if way["kind"] == "Ingress":
        entries = rule["http"]["paths"]
        backend = {"name": name, "port": {"name": "http"}}
        assert all(each["backend"]["service"] == backend for each in entries)
        hosts = {rule["host"], *(host for each in spec["tls"] for host in each["hosts"])}
        return hosts, [(each["path"], each["pathType"] == "Prefix") for each in entries]
    assert rule["backendRefs"] == [{"name": name, "port": DEFAULTS[name]}]
    matches = [each["path"] for each in rule["matches"]]
    return {*spec["hostnames"]}, [(e["value"], e["type"] == "PathPrefix") for e in matches]


def _calls_of_the_code(manifests: tuple[Manifest, ...], overlay: str) -> set[Call]:
    """From every setting that holds the address of one of our pods."""
    calls = set()
    for load in of_kind(manifests, "Deployment"):
        name = name_of(load)
        known = {each.name: each.default or "" for each in variables(ROOTS[name])}
        given = settings_of(manifests, load)
        for variable in known:
            if not variable.endswith("_URL") or variable == "SIMULATOR_URL":  # its own
                continue
            url = urlsplit(given.get(variable) or known[variable])
            if url.hostname in _pods(manifests) and url.hostname != name and url.port:
                calls.add((name, url.hostname, url.port))
    if overlay == "local":
        calls |= {(name, "kafka", 9092) for name in KAFKA}
        calls |= {(name, "mongodb", 27017) for name in MONGODB}
        calls |= {("kafka", "kafka", 9092), ("mongodb", "mongodb", 27017)}  # by their names
    return calls


def _reads(name: str) -> set[str]:
    return {each.name for each in variables(ROOTS[name])}


def _pods(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    return {name_of(each): pod_of(each) for each in of_kind(manifests, *LOADS)}


def _incoming(manifests: tuple[Manifest, ...]) -> Iterator[Call]:
    yield from _allowed(manifests, "ingress", "from")


def _outgoing(manifests: tuple[Manifest, ...]) -> Iterator[Call]:
    for own, other, port in _allowed(manifests, "egress", "to"):
        yield other, own, port


def _allowed(manifests: tuple[Manifest, ...], way: str, who: str) -> Iterator[Call]:
    """The other side, the pod that a policy is about, and the port at the callee."""
    pods = _pods(manifests)
    for policy in of_kind(manifests, "NetworkPolicy"):
        for rule in policy["spec"].get(way, []):
            for own in (n for n, pod in pods.items() if fits(policy["spec"]["podSelector"], pod)):
                for other in _others(rule.get(who), pods):
                    callee = own if way == "ingress" else other
                    for port in _numbers(rule.get("ports", []), pods.get(callee)):
                        yield other, own, port


def _others(peers: list[Manifest] | None, pods: dict[str, Manifest]) -> Iterator[str]:
    """Names of pods, `namespaces ingress` and the like, `internet` or `anywhere`."""
    if peers is None:
        yield ANYWHERE
        yield from pods
        return
    for peer in peers:
        assert len(peer) == 1, "namespaces and pods together are not in use"
        if "podSelector" in peer:
            yield from (name for name, pod in pods.items() if fits(peer["podSelector"], pod))
        elif "namespaceSelector" in peer:
            ((label, _),) = peer["namespaceSelector"]["matchLabels"].items()
            yield f"namespaces {label.rpartition('/')[2]}"
        else:
            yield INTERNET


def _numbers(ports: list[Manifest], callee: Manifest | None) -> Iterator[int]:
    for port in ports:
        if isinstance(port["port"], str):
            assert callee is not None
            (container,) = callee["spec"]["containers"]
            yield from (p["containerPort"] for p in container["ports"] if p["name"] == port["port"])
        else:
            first: int = port["port"]
            last: int = port.get("endPort", first)
            yield from range(first, last + 1)


def _paths(app: web.Application) -> set[str]:
    """What a service answers, with something in the place of what varies."""
    return {
        f"{resource.canonical}/a.css"
        if isinstance(resource, web.StaticResource)
        else resource.canonical.replace("{", "").replace("}", "")
        for resource in app.router.resources()
    }

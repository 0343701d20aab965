"""Where we connect on somebody's word. What notifications do with it: `test_notifications.py`."""

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libs.common.outbound import Inside, is_allowed, problem_of, service_problem_of

OPENED = Inside.parse("ollama, 10.0.0.5:8000, [::1]:9", is_production=True)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://api.openai.com/v1", None),
        ("https://93.184.216.34/v1", None),
        ("http://api.openai.com/v1", "not_https"),
        ("https://127.0.0.1/v1", "address_not_public"),
        ("https://①27.0.0.1/v1", "address_not_public"),
        ("https://169.254.169.254/latest", "address_not_public"),
        ("https://[::ffff:10.0.0.1]/", "address_not_public"),
        ("https://10.0.0.5:8001/v1", "address_not_public"),
        ("http://10.0.0.5/v1", "not_https"),
        ("http://10.0.0.5:8000/v1", None),
        ("http://ollama:11434/v1", None),
        ("http://OLLAMA/v1", None),
        ("http://[::1]:9/", None),
        ("http://ollama.evil.example/v1", "not_https"),
        ("https://ollama@evil.example/v1", "has_credentials"),
        ("ftp://ollama/v1", "not_http"),
        ("models.example", "not_http"),
        ("https://[", "unreadable"),
        ("https://xn--/v1", "unreadable"),
        ("https://a..b/v1", "unreadable"),
        (f"https://{'a' * 64}.example/v1", "unreadable"),
    ],
)
def test_where_production_asks_for_answers(url: str, problem: str | None) -> None:
    assert service_problem_of(url, OPENED) == problem


def test_in_development_everything_that_is_an_address_will_do() -> None:
    anywhere = Inside.parse("", is_production=False)
    assert service_problem_of("http://127.0.0.1:8090/v1", anywhere) is None
    assert service_problem_of("http://a:b@127.0.0.1/v1", anywhere) == "has_credentials"
    assert service_problem_of("nowhere", anywhere) == "not_http"


# --- by address

# IANA's registries of special addresses, what clouds keep for themselves, and ways to write IPv4.
# fmt: off
_NOT_PUBLIC_V4 = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
)
_NOT_PUBLIC_V6 = (
    "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/8", "200::/7",
    "2001::/32", "2001:2::/48", "2001:10::/28", "2001:db8::/32", "2002::/16", "3fff::/20",
    "4000::/2", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)
# fmt: on
_DISGUISES = (
    "::ffff:{0}",
    "::{0}",
    "::ffff:0:{0}",
    "64:ff9b::{0}",
    "64:ff9b:1::{0}",
    "fe80::5efe:{0}",
    "2a00:1450:4001:830:0:5efe:{0}",
    "2a00:1450:4001:830:200:5efe:{0}",
)


def inside(*networks: str) -> st.SearchStrategy[str]:
    """An address of one of these, at its edges or within."""
    return st.sampled_from([ipaddress.ip_network(each) for each in networks]).flatmap(
        lambda network: (
            st.sampled_from([network[0], network[-1]]) | st.ip_addresses(network=str(network))
        ).map(str)
    )


@given(inside(*_NOT_PUBLIC_V4, *_NOT_PUBLIC_V6))
def test_no_address_inside_is_connected_to(address: str) -> None:
    assert not is_allowed(address, is_production=True)


@given(inside(*_NOT_PUBLIC_V4), st.sampled_from(_DISGUISES))
def test_nor_behind_one_of_ipv6(address: str, disguise: str) -> None:
    assert not is_allowed(disguise.format(address), is_production=True)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.216.34", "::ffff:8.8.8.8", "2606:4700::1111", "2a00:1450::5efe:1"],
)
def test_public_ones_are_connected_to(address: str) -> None:
    assert is_allowed(address, is_production=True)


@st.composite
def spelled(draw: st.DrawFn) -> str:
    """An IPv4 address inside, in one of the ways in which the system's resolver reads numbers."""
    octets = ipaddress.ip_address(draw(inside(*_NOT_PUBLIC_V4))).packed
    count = draw(st.integers(1, 4))  # the last number stands for all octets that are left
    numbers = [*octets[: count - 1], int.from_bytes(octets[count - 1 :], "big")]
    forms = ("{}", "0{:o}", "{:#x}", "{:#X}", "0x0{:x}")
    host = ".".join(draw(st.sampled_from(forms)).format(each) for each in numbers)
    return host + draw(st.sampled_from(["", "."]))


@given(spelled())
@example("0x7f.1")
@example("017700000001")
@example("2852039166")
@example("localhost.")
@example("api.LOCALHOST")
def test_an_address_inside_is_known_however_it_is_spelled(host: str) -> None:
    url = f"https://{host}:8443/v1"
    assert problem_of(url, is_production=True) == "address_not_public"
    assert service_problem_of(url, Inside()) == "address_not_public"


@pytest.mark.parametrize(
    "url",
    [
        "https://models.example\t/",
        "https://models\n.example/v1",
        "https://a.example/\x00",
        "h\rttps://a",
    ],
)
def test_what_some_clients_leave_out_is_no_address(url: str) -> None:
    assert problem_of(url, is_production=False) == "unreadable"
    assert service_problem_of(url, OPENED) == "unreadable"

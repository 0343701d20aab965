"""The public address: what Meta must be able to reach, judged without reaching it."""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from services.console.doctor.domain.findings import Verdict, failed, ok

WEBHOOK_PATH = "/webhooks/messenger"
META_HOST = "graph.facebook.com"
RENEW_BEFORE = timedelta(days=7)

# OpenSSL's X509_V_ERR_…: what a client that knows the usual authorities makes of a certificate
_NO_ISSUER = frozenset({2, 20, 21})
_SELF_SIGNED = frozenset({18, 19})
_NOT_YET, _EXPIRED, _OTHER_NAME = 9, 10, frozenset({62, 63, 64})


def must_be_public(graph_api_url: str, *, is_production: bool) -> bool:
    """Whether Meta itself has to reach us: the simulator needs no more than http."""
    return is_production or urlsplit(graph_api_url).hostname == META_HOST


def judge_address(url: str, *, is_public: bool) -> Verdict:
    """Is it set, and https where Meta calls it?"""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return ok(f"{url} is https.", url=url)
    if not is_public:
        return ok(f"{url}: plain http, which the simulator takes and Meta does not.", url=url)
    return failed(
        f"{url} is not https: Meta calls nothing else.",
        "Set PUBLIC_URL to the gateway's address as the internet sees it, such as "
        "https://hooks.example.org, and put TLS in front of the gateway.",
        url=url,
    )


def judge_resolved(host: str, addresses: Sequence[str], *, is_public: bool) -> Verdict:
    """Where the name leads: somewhere that others can reach?"""
    shown = sorted(set(addresses))
    private = [each for each in shown if not ipaddress.ip_address(each).is_global]
    if private and is_public:
        return failed(
            f"{host} leads to {', '.join(private)}, which nobody outside can reach.",
            "Point the name's A or AAAA record to the public address of the proxy in front of the "
            "gateway. If only your own DNS answers so, run the doctor from outside.",
            addresses=shown,
        )
    return ok(f"{host} leads to {', '.join(shown)}.", addresses=shown)


def unresolved(host: str) -> Verdict:
    return failed(
        f"The name {host} leads nowhere.",
        "Make a DNS record for it, or correct PUBLIC_URL.",
    )


def judge_certificate(ends_at: datetime, now: datetime) -> Verdict:
    """A certificate that was accepted: for how long still?"""
    left = ends_at - now
    day = f"{ends_at:%-d %b %Y}"
    if left < RENEW_BEFORE:
        return failed(
            f"The certificate ends on {day}, in {max(left.days, 0)} days.",
            "Renew it now, and find out why it was not renewed by itself.",
            ends_at=ends_at.isoformat(),
        )
    return ok(f"Valid until {day}, with its whole chain.", ends_at=ends_at.isoformat())


def refused_certificate(code: int) -> Verdict:
    """A certificate that was not accepted.

    Args:
        code: OpenSSL's verification error.
    """
    words, cure = _certificate_trouble(code)
    return failed(words, cure, verify_code=code)


def _certificate_trouble(code: int) -> tuple[str, str]:
    if code in _NO_ISSUER:
        return (
            "The certificate's chain is incomplete, or its authority is not a known one.",
            "Let the proxy send the full chain: the certificate and those between it and the "
            "authority (often called fullchain.pem).",
        )
    if code in _SELF_SIGNED:
        return (
            "The certificate is signed by itself: Meta refuses those.",
            "Get one from a public authority, such as Let's Encrypt.",
        )
    if code == _EXPIRED:
        return "The certificate has run out.", "Renew it, and have it renewed by itself."
    if code == _NOT_YET:
        return "The certificate is not valid yet.", "Check the clocks of the machines involved."
    if code in _OTHER_NAME:
        return (
            "The certificate is for another name.",
            "Get one for the host of PUBLIC_URL, or correct that address.",
        )
    return "The certificate is not accepted.", "Get one from a public authority."

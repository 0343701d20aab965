"""Where we connect on somebody's word. What notifications do with it: `test_notifications.py`."""

import pytest

from libs.common.outbound import Inside, service_problem_of

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

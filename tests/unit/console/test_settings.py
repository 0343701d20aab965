"""What the console takes from its environment, and what it refuses."""

import pytest
from pydantic import SecretStr, ValidationError

from libs.common.crypto import generate_key
from libs.common.settings import (
    CryptoSettings,
    GraphSettings,
    HttpSettings,
    InternalSettings,
    WebhookSettings,
)
from services.console.connecting import FacebookApp
from services.console.domain.facebook_login import PERMISSIONS
from services.console.settings import (
    FacebookLoginSettings,
    FirstAdminSettings,
    Settings,
    SiteSettings,
)
from services.console.web.access import cookie_name


def settings(site: SiteSettings, proxies: str = "") -> Settings:
    return Settings(
        http=HttpSettings(port=8080),
        graph=GraphSettings(facebook_app_id="1", facebook_app_secret=SecretStr("test_app_secret")),
        crypto=CryptoSettings(encryption_keys=SecretStr(f"k1:{generate_key()}")),
        internal=InternalSettings(service_token=SecretStr("a-service-token-of-tests")),
        webhook=WebhookSettings(env="test", webhook_verify_token=SecretStr("a-verify-token")),
        site=site,
        first_admin=FirstAdminSettings(),
        trusted_proxies=proxies,
    )


def test_in_production_browsers_come_over_https() -> None:
    for url in ("http://127.0.0.1:8080", "http://console.example.org"):
        with pytest.raises(ValidationError, match="must be https"):
            SiteSettings(env="production", console_url=url)
    site = SiteSettings(env="production", console_url="https://console.example.org/")
    assert site.console_url == "https://console.example.org"
    assert site.hosts == {"console.example.org"}
    assert cookie_name(settings(site)) == "__Host-session"


def test_the_usual_port_is_left_out_as_browsers_do() -> None:
    for url, host in (
        ("https://Console.example.org:443", "console.example.org"),
        ("https://console.example.org:8443", "console.example.org:8443"),
    ):
        assert SiteSettings(env="production", console_url=url).hosts == {host}
    assert "localhost" in SiteSettings(env="development", console_url="http://localhost:80").hosts


def test_plain_http_is_for_this_machine_only() -> None:
    with pytest.raises(ValidationError, match="must be https"):
        SiteSettings(env="development", console_url="http://192.168.1.7:8080")
    site = SiteSettings(env="development", console_url="http://127.0.0.1:8080")
    assert site.hosts == {"127.0.0.1:8080", "localhost:8080", "[::1]:8080"}
    assert cookie_name(settings(site)) == "session-8080"


@pytest.mark.parametrize(
    "url", ["console.example.org", "ftp://x", "https://x/path", "https://x?a=b", "https://u@x"]
)
def test_the_address_is_a_host_and_nothing_else(url: str) -> None:
    with pytest.raises(ValidationError, match="console_url"):
        SiteSettings(env="development", console_url=url)


def test_proxies_are_networks() -> None:
    site = SiteSettings(env="development")
    with pytest.raises(ValidationError, match="networks like"):
        settings(site, "my-proxy")
    assert len(settings(site, "10.0.0.0/8, fd00::/8").proxies) == 2


def test_permissions_may_be_asked_for_beside_our_own() -> None:
    facebook = FacebookLoginSettings(
        facebook_extra_permissions="business_management, pages_show_list"
    )
    app = FacebookApp("1", "", "v26.0", "", extra_permissions=facebook.extra_permissions)
    assert app.permissions == (*PERMISSIONS, "business_management")
    assert FacebookApp("1", "", "v26.0", "").permissions == PERMISSIONS
    assert FacebookLoginSettings().extra_permissions == ()
    with pytest.raises(ValidationError, match="facebook_extra_permissions"):
        FacebookLoginSettings(facebook_extra_permissions="pages; all")

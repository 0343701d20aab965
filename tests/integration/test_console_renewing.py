"""An encryption key is replaced: everything is encrypted anew, and nothing is lost."""

import pytest
from pydantic import SecretStr

from libs.common.channels import Assistant, Channel, ChannelSettings
from libs.common.crypto import DecryptionError, KeyRing
from libs.common.mongo import Database
from libs.common.settings import CryptoSettings, InternalSettings, MongoSettings, RuntimeSettings
from services.console.operator import KeysSettings, KeysStillNeededError, renew_keys
from services.console.renewing import renew
from services.console.settings import SiteSettings

OLD, NEW = {"k1": b"1" * 32}, {"k2": b"2" * 32}
BOTH = KeyRing(NEW | OLD)


async def fill(database: Database, keys: KeyRing) -> Assistant:
    settings = ChannelSettings(notification_secret=keys.encrypt("shared", context="1"))
    token = keys.encrypt("EAAtoken", context="1")
    pages = [
        Channel(
            id="1",
            workspace_id="w",
            assistant_id="a",
            page_name="Bakery",
            token=token,
            settings=settings,
        ),
        Channel(id="2", workspace_id="w", assistant_id="a", page_name="Gone", token=""),
    ]
    await database["channels"].insert_many([page.to_document() for page in pages])
    bare = Assistant(
        id="a", workspace_id="w", name="Crumb", system_prompt="x", provider="openai", model="m"
    )
    assistant = bare.model_copy(
        update={"api_key": keys.encrypt("sk-key", context=bare.key_context)}
    )
    await database["assistants"].insert_one(assistant.to_document())
    return assistant


async def test_everything_can_be_read_with_the_new_key_alone_and_a_second_time_nothing_is_due(
    database: Database,
) -> None:
    assistant = await fill(database, KeyRing(OLD))
    found = await renew(database, BOTH)
    assert (found.renewed, found.current, found.is_complete) == (3, 0, True)
    new = KeyRing(NEW)
    page = await database["channels"].find_one({"_id": "1"})
    assert page is not None
    assert new.decrypt(page["token"], context="1") == "EAAtoken"
    assert new.decrypt(page["settings"]["notification_secret"], context="1") == "shared"
    stored = await database["assistants"].find_one({"_id": "a"})
    assert stored is not None
    assert new.decrypt(stored["api_key"], context=assistant.key_context) == "sk-key"
    again = await renew(database, BOTH)
    assert (again.renewed, again.current) == (0, 3)


async def test_killed_half_way_everything_can_be_read_and_the_next_run_does_the_rest(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assistant = await fill(database, KeyRing(OLD))
    encrypt = KeyRing.encrypt
    left = [1]

    def dying(self: KeyRing, text: str, *, context: str) -> str:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return encrypt(self, text, context=context)

    with monkeypatch.context() as patch:
        patch.setattr(KeyRing, "encrypt", dying)
        with pytest.raises(KeyboardInterrupt):
            await renew(database, BOTH)
    page = await database["channels"].find_one({"_id": "1"})
    stored = await database["assistants"].find_one({"_id": "a"})
    assert page is not None
    assert stored is not None
    secrets = {
        page["token"]: "1",
        page["settings"]["notification_secret"]: "1",
        stored["api_key"]: assistant.key_context,
    }
    assert sum(map(BOTH.is_current, secrets)) == 1
    read = {BOTH.decrypt(sealed, context=context) for sealed, context in secrets.items()}
    assert read == {"EAAtoken", "shared", "sk-key"}
    found = await renew(database, BOTH)
    assert (found.renewed, found.current, found.is_complete) == (2, 1, True)


async def test_what_cannot_be_read_is_named_and_left_as_it_is(
    database: Database, mongo: MongoSettings
) -> None:
    await fill(database, KeyRing({"k0": b"0" * 32}))
    before = await database["assistants"].find_one({"_id": "a"})
    ring = f"k2:{'Mg' * 21}I="
    with pytest.raises(DecryptionError):
        KeyRing.parse(ring).decrypt(str(before and before["api_key"]), context="x")
    settings = KeysSettings(
        runtime=RuntimeSettings(env="test"),
        mongo=mongo,
        site=SiteSettings(env="test"),
        crypto=CryptoSettings(encryption_keys=SecretStr(ring)),
        internal=InternalSettings(service_token=SecretStr("a-token-of-services")),
    )
    with pytest.raises(KeysStillNeededError, match="assistants a: api_key can't be decrypted"):
        await renew_keys(settings, unasked=True)
    assert await database["assistants"].find_one({"_id": "a"}) == before

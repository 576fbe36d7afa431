"""The text of a secret occurs in no output: not in show, not in check, not in an error."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airnode.commands.options import loaded_from
from airnode.config import load, render
from airnode.config.problems import MASK, shown, without_password
from airnode.errors import ConfigError

START, END = "hunter2", "2retnuh"
SECRET_KEYS = ["auth.jwt_secret", "auth.teacher_secret", "cluster.token", "redis.password", "postgres.password"]
#: Any text between two marks, so that neither the whole nor its beginning or end can slip through.
secrets = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(lambda middle: START + middle + END)
Outputs = list[str]


def outputs(**layers: object) -> Outputs:
    """Everything that is printed for these layers, with and without another problem beside them."""
    texts = []
    for extra in ({}, {"http.port": "wrong", "cluster.lease_s": "1"}):
        flags = {**layers.get("flags", {}), **extra}  # type: ignore[dict-item]
        try:
            loaded = load(flags=flags, files=layers.get("files", []), env=layers.get("env", {}))  # type: ignore[arg-type]
        except ConfigError as error:
            texts += [str(error), repr(error), render.check_json(error)]
        else:
            texts += [render.show(loaded), render.show(loaded, changed=True), render.show_json(loaded)]
            texts += [render.check(loaded), render.check_json(loaded)]
    return texts


def assert_hidden(texts: Outputs) -> None:
    assert texts
    for text in texts:
        assert START not in text
        assert END not in text


def in_file(text: str) -> Outputs:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "airnode.toml"
        path.write_text(text, encoding="utf-8")
        return outputs(files=[path])


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=True) if text.isascii() else json.dumps(text, ensure_ascii=False)


@pytest.mark.parametrize("key", SECRET_KEYS)
@settings(max_examples=25, deadline=None)
@given(secret=secrets)
@example(secret=START + "x" * 40 + END)
@example(secret=START + "changeme" + END)
def test_in_every_layer(key: str, secret: str) -> None:
    section, name = key.split(".")
    env = f"AIRNODE_{section}__{name}".upper()
    assert_hidden(outputs(flags={key: secret}))
    assert_hidden(outputs(env={env: secret}))
    assert_hidden(outputs(env={f"{env}_FILE": secret}))
    assert_hidden(in_file(f"[{section}]\n{name} = {quoted(secret)}"))
    assert_hidden(in_file(f"[{section}]\n{name} = [{quoted(secret)}]"))
    assert_hidden(in_file(f"[{section}]\n{name}_file = {quoted(secret)}"))
    assert_hidden(in_file(f"[{section}]\n{name} = {secret}"))


@settings(max_examples=25, deadline=None)
@given(secret=secrets)
def test_under_a_wrong_name(secret: str) -> None:
    for key in ("auth.jwt_secrt", "auth.jwt", "auth", "jwt_secret", "redis.pasword", "cluster.tokn", "athu.jwt_secret"):
        assert_hidden(outputs(flags={key: secret}))
    for name in (
        "AIRNODE_JWT_SECRET",
        "AIRNODE_AUTH__JWT_SECRT",
        "AIRNODE_ATH__JWT_SECRET",
        "AIRNODE_AUTH__JWT_SECRET__X",
    ):
        assert_hidden(outputs(env={name: secret}))
    assert_hidden(in_file(f"auth = {quoted(secret)}\njwt_secret = {quoted(secret)}"))
    assert_hidden(in_file(f"[auth.jwt_secret]\nx = {quoted(secret)}"))


@pytest.mark.parametrize(
    "form",
    [
        "redis://:{}@host:6379/0",
        "redis://user:{}@host",
        "redis://{}@host",
        "rediss://host/0?password={}",
        "redis://:{}",
        "redis://user:{}",
        "redis:/:{}@host",
        "redi://:{}@host",
        ":{}@host:6379",
        "host=h password={}",
    ],
)
@settings(max_examples=25, deadline=None)
@given(secret=secrets)
@example(secret=START + END)
def test_in_an_address(form: str, secret: str) -> None:
    if "?" in form or form.startswith("host="):
        secret = "".join(char for char in secret if char.isalnum())
    if form == "redis://{}@host":
        secret = secret.replace(":", "")  # what stands before a colon is the user's name
    if "@" not in form:
        secret = secret.replace("@", "")
    url = form.format(secret)
    for key in ("redis.url", "postgres.url", "cluster.master_url"):
        assert_hidden(outputs(flags={key: url}))
    assert_hidden(outputs(env={"REDIS_URL": url, "MASTER_URL": url}))


def test_numeric_secret_under_a_wrong_name(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[redis]\npaswd = 48151623\n[auth]\njwt_secrt = 48151623\n")
    assert all("48151623" not in text for text in outputs(files=[file]))


def test_content_of_a_secret_file(tmp_path: Path) -> None:
    file = tmp_path / "jwt"
    file.write_text(f"{START}{END}")
    for key in SECRET_KEYS:
        assert_hidden(outputs(flags={f"{key}_file": str(file)}))


def test_malformed_set_option() -> None:
    for text in (f"auth.jwt_secret:{START}{END}", f"jwt_secret={START}{END}", f"auth.jwt_secret {START}"):
        with pytest.raises(ConfigError) as caught:
            loaded_from({"set": (text,)}, env={})
        assert_hidden([str(caught.value)])


@pytest.mark.parametrize(
    ("address", "printed"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:pw@host", f"redis://:{MASK}@host"),
        ("redis://user:p@w/?#@host:1/0", f"redis://user:{MASK}@host:1/0"),
        ("redis://token@host", f"redis://{MASK}@host"),
        ("postgresql://h/db?password=x&user=u", f"postgresql://h/db?password={MASK}&user=u"),
        ("redis://[::1]:6379", "redis://[::1]:6379"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("teacher@school", "teacher@school"),
    ],
)
def test_what_remains_of_an_address(address: str, printed: str) -> None:
    assert without_password(address) == printed


def test_an_error_shows_little_of_a_long_value() -> None:
    assert len(shown("x" * 1000)) == 60
    assert shown(["a", "b"]) == "['a', 'b']"
    assert shown({"a": 1}) == "a table"


@pytest.fixture(params=[render.show, render.show_json])
def view(request: pytest.FixtureRequest) -> Callable[..., str]:
    function: Callable[..., str] = request.param
    return function


def test_set_secrets_show_as_a_mask_and_unset_ones_as_empty(view: Callable[..., str]) -> None:
    loaded = load(flags={"auth.teacher_secret": "k3-b9-classroom"}, files=[], env={})
    lines = view(loaded).splitlines()
    assert sum(f'"{MASK}"' in line for line in lines) == 1

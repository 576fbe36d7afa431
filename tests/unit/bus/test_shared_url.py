import pytest
from pydantic import SecretStr

from airnode.bus.client import shared_url
from airnode.config.sections.redis import RedisSection


@pytest.mark.parametrize(
    ("section", "url"),
    [
        (RedisSection(url="redis://redis.school:6379/2"), "redis://redis.school:6379/2"),
        (RedisSection(url="rediss://u:p%40@redis.school"), "rediss://u:p%40@redis.school"),
        (RedisSection(url="redis://localhost:6379"), "redis://master.school:6379"),
        (RedisSection(url="redis://:pw@127.0.0.1"), "redis://:pw@master.school"),
        (RedisSection(url="redis://[::1]:6380/1"), "redis://master.school:6380/1"),
        (RedisSection(url="redis://[fd00::7]:6380"), "redis://[fd00::7]:6380"),
        (RedisSection(url="redis://host", password=SecretStr("p@ss/word")), "redis://:p%40ss%2Fword@host"),
        (RedisSection(url="redis://user@host", password=SecretStr("pw")), "redis://user:pw@host"),
        (RedisSection(url="redis://u:own@host", password=SecretStr("pw")), "redis://u:own@host"),
        (RedisSection(host="cache", port=6400, password=SecretStr("pw")), "redis://:pw@cache:6400"),
        (RedisSection(host="localhost"), "redis://master.school:6379"),
        (RedisSection(url="unix:///run/redis.sock"), ""),
    ],
)
def test_the_url_for_another_node(section: RedisSection, url: str):
    assert shared_url(section, "master.school") == url

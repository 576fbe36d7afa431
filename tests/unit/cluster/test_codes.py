from airnode.bus.messages import ROOM_PATTERN
from airnode.cluster.codes import new_code, new_room, new_stream_key, normal_code


def test_codes_can_be_read_aloud_and_typed_in_any_format():
    codes = {new_code() for _ in range(500)}
    assert len(codes) > 490
    assert not set("".join(codes)) & set("01OILUV")
    code = codes.pop()
    assert normal_code(f" {code[:3].lower()}-{code[3:]} ") == code


def test_stream_keys_are_unique_and_alphanumeric():
    assert len({new_stream_key() for _ in range(100)}) == 100
    assert new_stream_key().isalnum()


def test_every_title_gives_a_room():
    for title in ("Algebra 2", "수학", "--", "x" * 300, "Émile & co"):
        assert ROOM_PATTERN.match(new_room(title)), title

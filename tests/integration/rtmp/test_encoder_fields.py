"""What people put into the fields of an encoder, against a real node."""

import pytest

from tests.support.node import Api, Classroom
from tests.support.rtmp import RtmpPublisher, command
from tests.support.tag_publisher import TagPublisher


@pytest.mark.parametrize(
    ("app", "name"),
    [
        ("live", " {key}\r\n"),
        ("live", '"{key}"'),
        ("live", "{key}/"),
        ("live", "{key}?a=b"),
        ("live", "{key}%20"),
        ("live", "rtmp://127.0.0.1/live/{key}"),
        ("live/{key}", ""),
        ("live/{key}", "{key}"),
        ("live?key={key}", ""),
        ("live/{room}?key={key}", ""),
        ("live", "{room}?key={key}"),
        ("", "{key}"),
    ],
)
async def test_a_key_is_found_where_people_put_it(class_api: Api, app: str, name: str) -> None:
    classroom = class_api.node
    assert isinstance(classroom, Classroom)
    values = {"key": classroom["stream_key"], "room": classroom.room}
    publisher = await TagPublisher(classroom, [], name.format_map(values), app.format_map(values)).start()
    await publisher.stop()
    assert publisher.started == "NetStream.Publish.Start"


@pytest.mark.parametrize(
    ("app", "name", "words"),
    [
        ("live", "", "The stream key is empty"),
        ("live", "{key}0", "The stream key is not right"),
        ("app", "{key}", "the server is rtmp://HOST/live"),
        ("live", "other-room?key={key}", "belongs to another room"),
    ],
)
async def test_the_field_that_is_wrong_is_named(class_api: Api, app: str, name: str, words: str) -> None:
    classroom = class_api.node
    assert isinstance(classroom, Classroom)
    key = classroom["stream_key"]
    peer = await RtmpPublisher.connect(int(classroom["rtmp_server"].rpartition(":")[2].split("/")[0]))
    stream_id = await peer.open_stream(app)
    peer.send(command("publish", 3.0, None, name.format(key=key), "live", stream_id=stream_id))
    info = (await peer.answer("onStatus"))[2]
    assert isinstance(info, dict)
    assert info["code"] == "NetStream.Publish.BadName"
    assert words in str(info["description"])
    assert await peer.closes()
    await peer.aclose()
    assert words in classroom.log
    assert key not in classroom.log

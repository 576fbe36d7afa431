"""What a browser sends: camera and screen, turned, switched, hidden and unplugged while the class is live."""

from collections.abc import Callable

import pytest
from playwright.async_api import Page

from tests.e2e.test_class import is_state, join, mark, unmarked
from tests.e2e.test_golive import go_live, look, shows_moving, sounds, teacher_and_student
from tests.support.node import Classroom
from tests.support.page_access import nameless, pale, tab_to
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(150)]

#: The first camera is a white canvas that ``turn`` turns and ``unplug`` takes away; the screen is grey, and hums. In
#: both a black mark moves.
SOURCES = """
  const canvas = (width, height, color) => {
    const made = Object.assign(document.createElement("canvas"), { width, height });
    const context = made.getContext("2d");
    let at = 0;
    setInterval(() => {
      context.fillStyle = color;
      context.fillRect(0, 0, made.width, made.height);
      context.fillStyle = "black";
      context.fillRect((at += 8) % made.width, 0, made.width / 16, made.height / 16);
    }, 33);
    return made;
  };
  const devices = navigator.mediaDevices;
  const open = devices.getUserMedia.bind(devices);
  let camera = null;
  devices.getUserMedia = async (wanted) => {
    if (!wanted.video || camera) return open(wanted);
    const drawn = canvas(640, 360, "white");
    camera = drawn.captureStream(30);
    window.turn = (width, height) => Object.assign(drawn, { width, height }) && undefined;
    window.unplug = () => camera.getTracks().forEach((track) => track.dispatchEvent(new Event("ended")));
    return camera;
  };
  devices.getDisplayMedia = async () => {
    const screen = canvas(640, 360, "#808080").captureStream(30);
    const context = new AudioContext();
    const [hum, out] = [context.createOscillator(), context.createMediaStreamDestination()];
    hum.connect(out);
    hum.start();
    screen.addTrack(out.stream.getAudioTracks()[0]);
    return screen;
  };
"""
LEVELS: dict[str, Callable[[int], bool]] = {
    "white": lambda level: level > 200,
    "grey": lambda level: 100 < level < 160,
    "dark": lambda level: level < 60,
}
#: Places in the small picture of 64 x 36: the middle, near the left edge, and in the corner of the inset.
PLACES = {"middle": 18 * 64 + 32, "side": 18 * 64 + 4, "corner": 30 * 64 + 57}


async def shows(page: Page, what: str, **wanted: str) -> None:
    """Wait for the brightness at the places of the student's picture."""

    async def seen() -> bool:
        picture = await look(page)
        return all(LEVELS[wanted[place]](picture[at]) for place, at in PLACES.items())

    await eventually(seen, 20, what)


async def test_a_turned_camera_a_screen_with_its_sound_and_an_unplugged_camera(classroom: Classroom):
    async with teacher_and_student(classroom) as (studio, student):
        await studio.add_init_script(SOURCES)
        await studio.reload()
        await go_live(studio)
        await join(student, classroom)
        await eventually(lambda: is_state(student, "live"), 20, "the student's page is live")
        await mark(student)
        await shows(student, "the camera", middle="white", side="white", corner="white")
        await studio.evaluate("window.turn(360, 640)")
        await shows(student, "the turned camera, whole", middle="white", side="dark", corner="dark")
        await studio.evaluate("window.turn(640, 360)")
        await shows(student, "the camera, turned back", middle="white", side="white", corner="white")

        # The screen, with its sound while the teacher says nothing; the camera over it, or not.
        await studio.get_by_role("button", name="Mute", exact=True).click()
        await studio.get_by_role("button", name="Share screen").click()
        await shows(student, "the camera over the screen", middle="grey", side="grey", corner="white")
        await eventually(lambda: sounds(student), 20, "the student hears the screen")
        await studio.get_by_role("button", name="Hide me on the screen").click()
        await shows(student, "the screen alone", middle="grey", side="grey", corner="grey")
        await studio.get_by_role("button", name="Show me over the screen").click()
        await shows(student, "the camera is back", middle="grey", side="grey", corner="white")
        await studio.get_by_role("button", name="Stop sharing").click()
        await shows(student, "the camera again", middle="white", side="white", corner="white")

        # The camera is unplugged: another one takes over, and the teacher is told.
        await studio.evaluate("window.unplug()")
        await studio.get_by_role("alert").get_by_text("The camera went away; fake_device").wait_for()
        await shows_moving(student)
        await studio.get_by_role("button", name="Close this note").click()
        await studio.get_by_text("The camera went away").wait_for(state="detached")
        assert not await unmarked(student)
        assert studio.errors == []  # type: ignore[attr-defined]


async def test_the_last_camera_goes_away_and_the_class_is_live_without_it(classroom: Classroom):
    async with teacher_and_student(classroom) as (studio, _):
        await studio.add_init_script(SOURCES)
        await studio.reload()
        await studio.emulate_media(reduced_motion="reduce")
        await go_live(studio)
        for scheme in ("light", "dark"):
            await studio.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert await pale(studio) == [], scheme
        assert await nameless(studio) == []
        # A teacher without a mouse mutes.
        await tab_to(studio, "Mute")
        await studio.keyboard.press("Space")
        await studio.get_by_text("You are muted").wait_for()
        await studio.evaluate(
            """() => {
              const none = async () => [];
              navigator.mediaDevices.enumerateDevices = none;
              window.unplug();
            }"""
        )
        await studio.get_by_role("alert").get_by_text("The camera went away. Plug it in again").wait_for()
        await studio.get_by_role("button", name="Camera on").wait_for()
        await studio.get_by_text("You are live").wait_for()
        assert studio.errors == []  # type: ignore[attr-defined]

"""Scripts of the room log tell Redis all their keys."""

import re

import pytest

from airnode.chat.classroom import hand_scripts, poll_scripts, question_scripts, rule_scripts, state_scripts
from airnode.chat.rooms.log import NO_CHECK, CheckScript
from airnode.chat.rooms.log_scripts import append_with

SCRIPTS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in (hand_scripts, poll_scripts, question_scripts, rule_scripts, state_scripts)
    for name, value in vars(module).items()
    if isinstance(value, CheckScript)
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_all_keys_of_a_script_are_declared(name):
    script = SCRIPTS[name]
    used = re.findall(r"\b(?:key|keep)\('(\w+)'\)", script.lua)
    assert set(used) <= set(script.keys)
    assert len(set(script.keys)) == len(script.keys)
    assert not re.search(r"(?:key|keep)\('[^']*' *\.\.", script.lua), "a key that is made of parts"


def test_the_append_uses_no_key_of_its_arguments():
    calls = re.findall(r"redis\.call\('\w+', *([^,)]+)", append_with(NO_CHECK.lua, ()))
    assert {each for each in calls if not each.startswith(("KEYS[", "key("))} == {"ARGV[1]", "log"}  # PUBLISH's channel

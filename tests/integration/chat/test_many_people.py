"""Presence of many people: few events, and above ``chat.presence_users`` only their number."""

import asyncio

from tests.support.chat_rooms import RoomClient


async def joined(http, rig, user, room):
    client = await RoomClient(http, rig.url, token=rig.token(user, "student", room)).connect()
    return client, (await client.ask("joinRoom", room))["members"]


async def test_fifty_who_join_are_told_at_most_once_a_second(start_rig, http):
    rigs = [await start_rig(f"crowd-{n}") for n in range(2)]
    watcher, _ = await joined(http, rigs[0], "watcher", "crowd")
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await asyncio.gather(*(joined(http, rigs[n % 2], f"u{n}", "crowd") for n in range(50)))
    await watcher.until(lambda c: bool(c.got("presence")) and c.got("presence")[-1]["count"] == 51, "all are seen")
    told = watcher.got("presence")
    assert len(told) <= loop.time() - began_s + 2
    came = [user["id"] for each in told for user in each["joined"]]
    assert sorted(came) == sorted(["watcher", *(f"u{n}" for n in range(50))])


async def test_above_the_limit_only_the_number_is_told_and_below_it_everybody_again(start_rig, http):
    rigs = [await start_rig(f"large-{n}", presence_users=3) for n in range(2)]
    first, members = await joined(http, rigs[0], "u0", "large")
    assert [user["id"] for user in members["users"]] == ["u0"]
    others = [(await joined(http, rigs[n % 2], f"u{n}", "large"))[0] for n in (1, 2, 3)]
    await first.until(lambda c: c.got("presence")[-1:] == [{"room": "large", "count": 4}], "only the number")
    assert await first.ask("presence", "large") == {"ok": True, "count": 4}
    late, members = await joined(http, rigs[0], "u4", "large")
    assert members == {"count": 5}
    await others[0].close()
    await others[1].close()
    # Who joined meanwhile knows nobody: the change names all.
    await late.until(lambda c: "joined" in (c.got("presence") or [{}])[-1], "the people are told again")
    told = late.got("presence")[-1]
    assert (told["count"], [user["id"] for user in told["joined"]]) == (3, ["u0", "u3", "u4"])

"""Lua: who may write, and the teacher's measures. The parts of the room's state that they use:

- ``settings``: hash {locked, teacher_only: ``1`` or ``0``; slow_mode_s}
- ``muted``: hash {user id: ``<end in unix ms, 0: none>|<user as JSON>``}
- ``slow``: hash {user id: unix ms of the last message}, in slow mode
- ``hands``: see :mod:`.hand_scripts`
"""

from airnode.chat.classroom.refusals import REFUSALS
from airnode.chat.rooms.log import CheckScript

#: Functions for all scripts of classes.
TOOLS = """
local function num(value) return string.format('%.0f', tonumber(value)) end
local function next_id() return epoch .. '-' .. num(offset + 1) end
local function settings_json()
    local s = redis.call('HMGET', key('settings'), 'locked', 'slow_mode_s', 'teacher_only')
    return '{"locked":' .. tostring(s[1] == '1') .. ',"slow_mode_s":' .. (s[2] or '0') ..
        ',"teacher_only":' .. tostring(s[3] == '1') .. '}'
end
local function muted_until(user)
    local found = redis.call('HGET', key('muted'), user)
    if not found then return nil end
    local ends = tonumber(string.match(found, '^(%d+)|'))
    if ends > 0 and ends <= now_ms then redis.call('HDEL', key('muted'), user) return nil end
    return ends
end
local function may_speak(role, user)
    if role == 'teacher' then return nil end
    if redis.call('HGET', key('settings'), 'locked') == '1' then
        return refuse('locked', 'The teacher has locked the chat.')
    end
    local ends = muted_until(user)
    if ends then
        return refuse('muted', 'The teacher has muted you.', ends > 0 and ends - now_ms or 0)
    end
end
"""


def check_script(lua: str, *state_keys: str) -> CheckScript:
    """Return a script with the functions and the refusals of classes.

    Args:
        state_keys: the parts of the room's state that it uses, besides ``settings`` and ``muted``.
    """
    return CheckScript(TOOLS + lua, REFUSALS, ("settings", "muted", *state_keys))


#: Arguments: role, user id.
MESSAGE = check_script(
    """
if args[1] == 'teacher' then return nil end
local refused = may_speak(args[1], args[2])
if refused then return refused end
local s = redis.call('HMGET', key('settings'), 'teacher_only', 'slow_mode_s')
if s[1] == '1' then return refuse('teacher_only', 'Only the teacher writes at the moment.') end
local pause_ms = tonumber(s[2] or '0') * 1000
if pause_ms > 0 then
    local wait_ms = tonumber(redis.call('HGET', key('slow'), args[2]) or '0') + pause_ms - now_ms
    if wait_ms > 0 then return refuse('slow_mode', 'Slow mode: wait a moment before the next message.', wait_ms) end
    redis.call('HSET', key('slow'), args[2], num(now_ms))
    keep('slow')
end
""",
    "slow",
)

#: Arguments: id of a message.
DELETE_MESSAGE = check_script("""
if not erase_message(args[1]) then return refuse('not_found', 'There is no such message.') end
return instead('{"deleted":' .. cjson.encode(args[1]) .. '}')
""")

#: Arguments: user id, user, end in unix ms or 0, most muted ones.
MUTE = check_script("""
local muted = key('muted')
if redis.call('HEXISTS', muted, args[1]) == 0 and redis.call('HLEN', muted) >= tonumber(args[4]) then
    for _, user in ipairs(redis.call('HKEYS', muted)) do muted_until(user) end
    if redis.call('HLEN', muted) >= tonumber(args[4]) then
        return refuse('limit_reached', 'Too many people are muted (chat.max_muted).')
    end
end
local ends = args[3] == '0' and '0' or num(now_ms + args[3])
redis.call('HSET', muted, args[1], ends .. '|' .. args[2])
keep('muted')
return instead('{"muted":{"user":' .. args[2] .. ',"until":' .. (ends == '0' and 'null' or ends) .. '}}')
""")

#: Arguments: user id.
UNMUTE = check_script("""
if redis.call('HDEL', key('muted'), args[1]) == 0 then return skip('') end
return instead('{"unmuted":' .. cjson.encode(args[1]) .. '}')
""")

#: Arguments: name of the setting, its value.
CHANGE_SETTING = check_script(
    """
if redis.call('HGET', key('settings'), args[1]) == args[2] then return skip('') end
redis.call('HSET', key('settings'), args[1], args[2])
keep('settings')
if args[1] == 'slow_mode_s' then redis.call('DEL', key('slow')) end
return instead('{"settings":' .. settings_json() .. '}')
""",
    "slow",
)

#: Arguments: user.
REMOVED = check_script("return instead('{\"removed\":' .. args[1] .. '}')")

#: Arguments: user id.
READMITTED = check_script("return instead('{\"readmitted\":' .. cjson.encode(args[1]) .. '}')")

"""Lua: raised hands. ``hands``: hash {user id: ``{"user": …, "at": unix ms}``}."""

from airnode.chat.classroom.rule_scripts import check_script

#: Arguments: user id, user, most hands.
RAISE = check_script(
    """
local hands = key('hands')
if redis.call('HEXISTS', hands, args[1]) == 1 then return skip('') end
local count = redis.call('HLEN', hands)
if count >= tonumber(args[3]) then
    return refuse('limit_reached', 'Too many hands are raised already (chat.max_hands).')
end
local hand = '{"user":' .. args[2] .. ',"at":' .. num(now_ms) .. '}'
redis.call('HSET', hands, args[1], hand)
keep('hands')
return instead('{"raised":' .. hand .. ',"count":' .. num(count + 1) .. '}')
""",
    "hands",
)

#: Arguments: user id.
LOWER = check_script(
    """
if redis.call('HDEL', key('hands'), args[1]) == 0 then return skip('') end
return instead('{"lowered":' .. cjson.encode(args[1]) .. ',"count":' .. num(redis.call('HLEN', key('hands'))) .. '}')
""",
    "hands",
)

LOWER_ALL = check_script(
    """
if redis.call('DEL', key('hands')) == 0 then return skip('') end
return instead('{"all_lowered":true,"count":0}')
""",
    "hands",
)

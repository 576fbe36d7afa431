"""Lua: questions to the teacher, which others support.

- ``questions``: hash {id: ``"user":…,"content":…,"at":…``, the inside of its JSON}
- ``askers``: hash {id: user id}, ``answered``: hash {id: ``1``}
- ``supports``: hash {``<id>|<user id>``: user id}, ``supporters``: hash {id: their number}
- ``changed``: set of ids whose supporters changed; ``counting`` exists while a node is about to publish them
"""

from airnode.chat.classroom.rule_scripts import check_script

QUESTION_KEYS = ("questions", "askers", "answered", "supports", "supporters", "changed", "counting")
QUESTION_TOOLS = """
local function question_json(id, more)
    local inside = redis.call('HGET', key('questions'), id)
    if not inside then return nil end
    local supporters = redis.call('HGET', key('supporters'), id) or '0'
    return '{"id":"' .. id .. '",' .. inside .. ',"supporters":' .. supporters ..
        ',"answered":' .. tostring(redis.call('HEXISTS', key('answered'), id) == 1) .. (more or '') .. '}'
end
local function missing() return refuse('not_found', 'There is no such question (any more).') end
local function supporters_changed(id, by, ms)
    redis.call('HINCRBY', key('supporters'), id, by)
    keep('supports') keep('supporters')
    redis.call('SADD', key('changed'), id)
    keep('changed')
    return redis.call('SET', key('counting'), '1', 'NX', 'PX', ms) and '1' or ''
end
"""

#: Arguments: role, user id, user, content (JSON), most open ones of one person, most of all. The reply is the id.
ASK = check_script(
    QUESTION_TOOLS
    + """
local refused = may_speak(args[1], args[2])
if refused then return refused end
local askers, own = key('askers'), 0
if redis.call('HLEN', askers) >= tonumber(args[6]) then
    return refuse('limit_reached', 'There are too many questions already (chat.max_questions).')
end
local flat = redis.call('HGETALL', askers)
for i = 1, #flat, 2 do
    if flat[i + 1] == args[2] and redis.call('HEXISTS', key('answered'), flat[i]) == 0 then own = own + 1 end
end
if own >= tonumber(args[5]) then
    return refuse('limit_reached', 'You have asked enough for now; wait for an answer (chat.questions_per_user).')
end
local id = next_id()
redis.call('HSET', key('questions'), id,
    '"user":' .. args[3] .. ',"content":' .. args[4] .. ',"at":' .. num(now_ms))
redis.call('HSET', askers, id, args[2])
keep('questions') keep('askers')
return instead('{"question":' .. question_json(id) .. '}', id)
""",
    *QUESTION_KEYS,
)

#: Arguments: id, user id, milliseconds. The reply is ``1`` if this node publishes the supporters.
SUPPORT = check_script(
    QUESTION_TOOLS
    + """
local asker = redis.call('HGET', key('askers'), args[1])
if not asker then return missing() end
if asker == args[2] then return refuse('own_question', 'You cannot support your own question.') end
if redis.call('HSETNX', key('supports'), args[1] .. '|' .. args[2], args[2]) == 0 then
    return refuse('already_supported', 'You support this question already.')
end
return skip(supporters_changed(args[1], 1, args[3]))
""",
    *QUESTION_KEYS,
)

#: Arguments and reply as above.
WITHDRAW = check_script(
    QUESTION_TOOLS
    + """
local asker = redis.call('HGET', key('askers'), args[1])
if not asker then return missing() end
if asker == args[2] then return refuse('own_question', 'This is your own question.') end
if redis.call('HDEL', key('supports'), args[1] .. '|' .. args[2]) == 0 then
    return refuse('not_found', 'You do not support this question.')
end
return skip(supporters_changed(args[1], -1, args[3]))
""",
    *QUESTION_KEYS,
)

#: Publishes one of the questions whose supporters changed.
COUNT_SUPPORTERS = check_script(
    QUESTION_TOOLS
    + """
while true do
    local id = redis.call('SPOP', key('changed'))
    if not id then return skip('') end
    local found = question_json(id)
    if found then return instead('{"question":' .. found .. '}') end
end
""",
    *QUESTION_KEYS,
)

#: Arguments: id.
MARK_ANSWERED = check_script(
    QUESTION_TOOLS
    + """
if redis.call('HEXISTS', key('questions'), args[1]) == 0 then return missing() end
if redis.call('HSETNX', key('answered'), args[1], '1') == 0 then return skip('') end
keep('answered')
return instead('{"question":' .. question_json(args[1]) .. '}')
""",
    *QUESTION_KEYS,
)

#: Arguments: id, role, user id.
DELETE = check_script(
    QUESTION_TOOLS
    + """
local asker = redis.call('HGET', key('askers'), args[1])
if not asker then return missing() end
if args[2] ~= 'teacher' and asker ~= args[3] then
    return refuse('forbidden', 'Only the teacher and who asked may delete a question.')
end
for _, name in ipairs({'questions', 'askers', 'answered', 'supporters'}) do redis.call('HDEL', key(name), args[1]) end
local cursor = '0'
repeat
    local found = redis.call('HSCAN', key('supports'), cursor, 'MATCH', args[1] .. '|*', 'COUNT', 1000)
    cursor = found[1]
    for i = 1, #found[2], 2 do redis.call('HDEL', key('supports'), found[2][i]) end
until cursor == '0'
redis.call('SREM', key('changed'), args[1])
return instead('{"deleted":' .. cjson.encode(args[1]) .. '}')
""",
    *QUESTION_KEYS,
)

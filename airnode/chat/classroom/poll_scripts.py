"""Lua: the poll of a room. There is one at a time; the last one stays until the next.

- ``poll``: hash {id, question and options as JSON, answered, open, at, closed_at, v0, v1, …: votes}
- ``answers``: hash {user id: index of the option}
- ``tally``: exists while a node is about to publish the votes

Each answer is an entry that nobody is sent, for the class record; the votes follow at most twice a second.
"""

from airnode.chat.classroom.rule_scripts import check_script

#: A node publishes what changed after this time; in between others leave it to that node.
TALLY_MS = 500

POLL_TOOLS = """
local function read_poll()
    local flat, poll = redis.call('HGETALL', key('poll')), {}
    for i = 1, #flat, 2 do poll[flat[i]] = flat[i + 1] end
    return poll.id and poll or nil
end
local function poll_json(poll, more)
    local options = {}
    for i, text in ipairs(cjson.decode(poll.options)) do
        options[i] = '{"text":' .. cjson.encode(text) .. ',"votes":' .. (poll['v' .. (i - 1)] or '0') .. '}'
    end
    return '{"id":"' .. poll.id .. '","question":' .. poll.question .. ',"options":[' .. table.concat(options, ',') ..
        '],"answered":' .. poll.answered .. ',"open":' .. tostring(poll.open == '1') .. ',"at":' .. poll.at ..
        (poll.closed_at and ',"closed_at":' .. poll.closed_at or '') .. (more or '') .. '}'
end
"""

#: Arguments: question, options (both JSON). The reply is the poll's id.
OPEN = check_script(
    POLL_TOOLS
    + """
local poll = read_poll()
if poll and poll.open == '1' then return refuse('poll_open', 'Close the open poll first.') end
redis.call('DEL', key('poll'), key('answers'), key('tally'))
redis.call('HSET', key('poll'), 'id', next_id(), 'question', args[1], 'options', args[2], 'answered', '0', 'open', '1',
    'at', num(now_ms))
keep('poll')
return instead('{"poll":' .. poll_json(read_poll()) .. '}', next_id())
""",
    "poll",
    "answers",
    "tally",
)

#: Arguments: id, option, user id, milliseconds of TALLY_MS. The reply is ``1`` if this node publishes the votes.
ANSWER = check_script(
    POLL_TOOLS
    + """
local poll = read_poll()
if not poll or poll.id ~= args[1] then return refuse('not_found', 'There is no such poll (any more).') end
if poll.open ~= '1' then return refuse('poll_closed', 'The teacher has closed this poll.') end
if tonumber(args[2]) >= #cjson.decode(poll.options) then
    return refuse('invalid_input', 'The poll has no such option.')
end
if redis.call('HSETNX', key('answers'), args[3], args[2]) == 0 then
    return refuse('already_answered', 'You have answered this poll already.')
end
redis.call('HINCRBY', key('poll'), 'v' .. args[2], 1)
redis.call('HINCRBY', key('poll'), 'answered', 1)
keep('answers') keep('poll')
local first = redis.call('SET', key('tally'), '1', 'NX', 'PX', args[4])
return instead('{"poll":"' .. poll.id .. '","option":' .. args[2] .. '}', first and '1' or '')
""",
    "poll",
    "answers",
    "tally",
)

#: Arguments: id.
TALLY = check_script(
    POLL_TOOLS
    + """
local poll = read_poll()
if not poll or poll.id ~= args[1] or poll.open ~= '1' then return skip('') end
return instead('{"poll":' .. poll_json(poll) .. '}')
""",
    "poll",
)

#: Arguments: id.
CLOSE = check_script(
    POLL_TOOLS
    + """
local poll = read_poll()
if not poll or poll.id ~= args[1] then return refuse('not_found', 'There is no such poll (any more).') end
if poll.open ~= '1' then return refuse('poll_closed', 'This poll is closed already.') end
redis.call('HSET', key('poll'), 'open', '0', 'closed_at', num(now_ms))
keep('poll')
return instead('{"poll":' .. poll_json(read_poll()) .. '}')
""",
    "poll",
)

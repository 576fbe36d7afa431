"""The Lua scripts of the room log. Redis runs each of them as one step."""

import functools

#: What every script begins with: the clock of the server, and the head of the log.
#: KEYS: 1 head, 2 log.
_HEAD = """
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch, offset = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'offset'))
local function begin_epoch(at_least, next_offset)
    epoch = string.format('%.0f', math.max(now_ms, at_least))
    offset = next_offset
    redis.call('HSET', KEYS[1], 'epoch', epoch, 'offset', offset)
end
if not epoch then
    redis.call('DEL', KEYS[2])
    begin_epoch(0, 0)
end
"""

#: What a check-and-change script may call; see :class:`airnode.chat.rooms.log.CheckScript`.
_TOOLS = """
local log, keep_ms = KEYS[2], tonumber(ARGV[9])
local function refuse(code, text, wait_ms) return {refused = {code, text, tostring(wait_ms or 0)}} end
local function instead(data, reply) return {data = data, reply = reply} end
local function skip(reply) return {skip = true, reply = reply} end
local state_keys = {--STATE KEYS--}
local function key(name) return state_keys[name] or error('not a declared key: ' .. name) end
local function keep(name) redis.call('PEXPIRE', key(name), keep_ms) end
local function fields_of(entry)
    local fields = {}
    for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
    return fields
end
local function find_message(id)
    local last = '+'
    while true do
        local batch = redis.call('XREVRANGE', log, last, '-', 'COUNT', 200)
        for _, entry in ipairs(batch) do
            local fields = fields_of(entry)
            if fields.id == id and fields.event == 'message' then return entry[1], fields end
        end
        if #batch < 200 then return end
        last = '(' .. batch[200][1]
    end
end
local function erase_message(id)
    local entry, fields = find_message(id)
    if entry then redis.call('XDEL', log, entry) end
    return fields
end
"""

#: ARGV: 1 channel, 2 room, 3 event, 4 id, 5 nonce, 6 data, 7 user, 8 log_entries, 9 keep_ms, 10 outbox_entries (0: not
#: for the record), 11 whether there is a key of an earlier answer (1 or 0), 12 audience, 13 seconds that the answer is
#: kept, 14 time of the entry (0: now), 15… arguments of the check.
#: KEYS: 3 outbox, 4 earlier answer (the head if there is none), 5… the parts of the state that the check uses.
#: Returns {status, epoch, offset, at, id, data, reply, entries dropped from the outbox}.
_APPEND = (
    _HEAD
    + _TOOLS
    + """
local data, args = ARGV[6], {}
for i = 15, #ARGV do args[#args + 1] = ARGV[i] end
if ARGV[11] == '1' then
    local answer = redis.call('HMGET', KEYS[4], 'epoch', 'offset', 'at', 'id')
    if answer[1] then return {'again', answer[1], answer[2], answer[3], answer[4], '', '', '0'} end
end
local function check()
--CHECK--
end
local verdict = check() or {}
if verdict.refused then return {'refused', unpack(verdict.refused)} end
local at = ARGV[14] ~= '0' and ARGV[14] or string.format('%.0f', now_ms)
local reply = verdict.reply or ''
if verdict.skip then return {'skipped', epoch, tostring(offset), at, '', data, reply, '0'} end
data = verdict.data or data
offset = redis.call('HINCRBY', KEYS[1], 'offset', 1)
local id = ARGV[4] ~= '' and ARGV[4] or (epoch .. '-' .. offset)
redis.call('XADD', log, 'MAXLEN', '~', ARGV[8], offset .. '-1', 'epoch', epoch, 'event', ARGV[3], 'id', id, 'at', at,
    'audience', ARGV[12], 'nonce', ARGV[5], 'data', data)
redis.call('PEXPIRE', KEYS[1], keep_ms)
redis.call('PEXPIRE', log, keep_ms)
local dropped = 0
if ARGV[10] ~= '0' then
    dropped = redis.call('XLEN', KEYS[3]) + 1
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[10], '*', 'room', ARGV[2], 'epoch', epoch, 'offset', offset,
        'event', ARGV[3], 'id', id, 'user', ARGV[7], 'at_ms', at, 'data', data)
    dropped = dropped - redis.call('XLEN', KEYS[3])
end
if ARGV[11] == '1' then
    redis.call('HSET', KEYS[4], 'epoch', epoch, 'offset', offset, 'at', at, 'id', id)
    redis.call('EXPIRE', KEYS[4], ARGV[13])
end
redis.call('PUBLISH', ARGV[1], '{"v":1,"t":"LogEntry","b":{"room":"' .. ARGV[2] .. '","epoch":"' .. epoch ..
    '","offset":' .. offset .. ',"event":"' .. ARGV[3] .. '","id":"' .. id .. '","at":' .. at .. ',"audience":"' ..
    ARGV[12] .. '","nonce":"' .. ARGV[5] .. '","data":' .. data .. '}}')
return {'appended', epoch, tostring(offset), at, id, data, reply, tostring(dropped)}
"""
)

#: ARGV: 1 keep_ms. Returns {epoch, offset, offset of the oldest entry (0: none)}.
POSITION = (
    _HEAD
    + """
if tonumber(offset) == 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
return {epoch, tostring(offset), oldest and string.match(oldest[1], '^%d+') or '0'}
"""
)

#: A node saw entries that Redis lost (it was restored from an older copy): a new epoch, whose offsets go on after
#: these. ARGV: 1 epoch, 2 offset that was seen, 3 keep_ms. Returns {epoch, offset}.
RENEW = (
    _HEAD
    + """
if epoch == ARGV[1] and tonumber(offset) < tonumber(ARGV[2]) then begin_epoch(tonumber(epoch) + 1, ARGV[2]) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {epoch, tostring(offset)}
"""
)


@functools.cache
def append_with(check: str, state_keys: tuple[str, ...]) -> str:
    """Return the script that runs a check, with the keys of these parts of the state, and appends."""
    places = ", ".join(f"['{name}'] = KEYS[{number}]" for number, name in enumerate(state_keys, 5))
    return _APPEND.replace("--STATE KEYS--", places).replace("--CHECK--", check)

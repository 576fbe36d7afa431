"""Lua: what a client that joins must know, read in one step; and who types."""

from airnode.chat.classroom.poll_scripts import POLL_TOOLS
from airnode.chat.classroom.question_scripts import QUESTION_KEYS, QUESTION_TOOLS
from airnode.chat.classroom.rule_scripts import check_script

#: Arguments: role, user id. The reply is JSON.
STATE = check_script(
    POLL_TOOLS
    + QUESTION_TOOLS
    + """
local parts = {string.sub(settings_json(), 2, -2)}
local ends = args[1] ~= 'teacher' and muted_until(args[2]) or nil
parts[#parts + 1] = '"muted":' .. tostring(ends ~= nil) .. ',"muted_until":' ..
    (ends and ends > 0 and num(ends) or 'null')
parts[#parts + 1] = '"hands":[' .. table.concat(redis.call('HVALS', key('hands')), ',') .. ']'
local poll = read_poll()
local mine = redis.call('HGET', key('answers'), args[2])
parts[#parts + 1] = '"poll":' .. (poll and poll_json(poll, mine and ',"mine":' .. mine or '') or 'null')
local questions = {}
for i, id in ipairs(redis.call('HKEYS', key('questions'))) do
    local supported = redis.call('HEXISTS', key('supports'), id .. '|' .. args[2]) == 1
    questions[i] = question_json(id, supported and ',"supported":true' or '')
end
parts[#parts + 1] = '"questions":[' .. table.concat(questions, ',') .. ']'
if args[1] == 'teacher' then
    local users = {}
    for _, user in ipairs(redis.call('HKEYS', key('muted'))) do
        if muted_until(user) then
            users[#users + 1] = string.match(redis.call('HGET', key('muted'), user), '^%d+|(.*)$')
        end
    end
    parts[#parts + 1] = '"muted_users":[' .. table.concat(users, ',') .. ']'
end
return skip('{' .. table.concat(parts, ',') .. '}')
""",
    "hands",
    "poll",
    "answers",
    *QUESTION_KEYS,
)

#: ``typing``: hash {user id: ``<end in unix ms>|<user as JSON>``}.
#: Arguments: role, user id, user, milliseconds (0: no longer typing), most people who are named. The reply is JSON.
TYPING = check_script(
    """
local typing, users = key('typing'), {}
if args[2] ~= '' then
    local refused = may_speak(args[1], args[2])
    if refused then return refused end
    if args[4] == '0' then redis.call('HDEL', typing, args[2])
    else redis.call('HSET', typing, args[2], num(now_ms + args[4]) .. '|' .. args[3]) end
end
local flat = redis.call('HGETALL', typing)
for i = 1, #flat, 2 do
    local ends, user = string.match(flat[i + 1], '^(%d+)|(.*)$')
    if tonumber(ends) <= now_ms then redis.call('HDEL', typing, flat[i])
    elseif #users < tonumber(args[5]) then users[#users + 1] = user end
end
redis.call('PEXPIRE', typing, 60000)
table.sort(users)
return skip('[' .. table.concat(users, ',') .. ']')
""",
    "typing",
)

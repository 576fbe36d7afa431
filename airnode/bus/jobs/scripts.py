"""Lua of ours beside BullMQ's. It changes the same keys, in steps that BullMQ itself could have made."""

#: Renew locks, and report what the worker has to know of its jobs.
#:
#: A lock that has expired is taken again if no other worker has begun the job meanwhile (Redis was away, or the worker
#: was suspended).
#:
#: Keys: stalled, active. Arguments: key of the queue with ``:``, milliseconds, then ``id, token, number of the
#: attempt`` for each job. Returns ``{ids whose lock is lost, ids that were cancelled}``.
RENEW = """
local lost, cancelled = {}, {}
for i = 3, #ARGV, 3 do
    local id, token = ARGV[i], ARGV[i + 1]
    local job = ARGV[1] .. id
    local holder = redis.call('GET', job .. ':lock')
    local ours = holder == token
    if not holder and redis.call('HGET', job, 'ats') == ARGV[i + 2] then
        ours = redis.call('LPOS', KEYS[2], id)
    end
    if ours then
        redis.call('SET', job .. ':lock', token, 'PX', ARGV[2])
        redis.call('SREM', KEYS[1], id)
        if redis.call('HEXISTS', job, 'cancelled') == 1 then
            table.insert(cancelled, id)
        end
    else
        table.insert(lost, id)
    end
end
return {lost, cancelled}
"""

#: Mark a job as cancelled. If no worker has it, take it, as a worker would, so that it can be failed.
#:
#: Keys: job, wait, paused, prioritized, delayed, waiting-children, active, lock. Arguments: id, token, milliseconds of
#: the lock, now in unix ms. Returns -1: there is no such job; 0: it has ended; 1: taken; 2: a worker has it.
CANCEL = """
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if redis.call('HEXISTS', KEYS[1], 'finishedOn') == 1 then return 0 end
redis.call('HSET', KEYS[1], 'cancelled', ARGV[4])
local taken = redis.call('LREM', KEYS[2], 1, ARGV[1]) + redis.call('LREM', KEYS[3], 1, ARGV[1])
for i = 4, 6 do
    taken = taken + redis.call('ZREM', KEYS[i], ARGV[1])
end
if taken == 0 then return 2 end
redis.call('LPUSH', KEYS[7], ARGV[1])
redis.call('SET', KEYS[8], ARGV[2], 'PX', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'ats', 1)
return 1
"""

#: Let an ended parent wait for its children again; the caller reprocesses those that failed in the same transaction.
#:
#: Keys: job, completed, failed, waiting-children. Arguments: id, now in unix ms. Returns whether it had ended.
AWAIT_CHILDREN = """
local ended = redis.call('ZREM', KEYS[2], ARGV[1]) + redis.call('ZREM', KEYS[3], ARGV[1])
if ended == 0 then return 0 end
redis.call('HDEL', KEYS[1], 'finishedOn', 'processedOn', 'returnvalue', 'failedReason', 'atm')
redis.call('ZADD', KEYS[4], ARGV[2], ARGV[1])
return 1
"""

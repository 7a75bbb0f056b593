-- An approver looks at a held job again later. Changes neither the job nor who may vote, nor when the approval expires.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 version read, 4 until, 5 details
-- From, to: held. Events: approval.deferred. Returns: {'deferred'} | {'retry'} | {error code}
local id, now = ARGV[1], ARGV[2]
local key = P .. ':approval:' .. id
local a = call('HMGET', key, 'status', 'expires', 'version')
local j = call('HMGET', job_key(id), 'state', 'who')
if not a[1] or not j[1] then return {'approval_not_found'} end
if a[1] == 'expired' then return {'approval_expired'} end
if a[1] ~= 'pending' or j[1] ~= 'held' then return {'approval_resolved'} end
if tonumber(now) >= tonumber(a[2]) then return {'approval_expired'} end
if a[3] ~= ARGV[3] then return {'retry'} end
call('HSET', key, 'deferred', ARGV[4])
call('ZADD', P .. ':deferred', ARGV[4], id)
audit('approval.deferred', now, id, j[2], 'held', 'held', ARGV[5])
return {'deferred'}

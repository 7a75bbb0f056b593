-- Nobody released a held job in the time that its rule gives those first named: from now on others may, too. Who may
-- vote follows from the time alone; this is what tells of it, once a round.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 round read, 4 details
-- From, to: held. Events: approval.escalated. Returns: 1 | 0 where it is another round, decided, or not yet time
local id, now = ARGV[1], ARGV[2]
local key = P .. ':approval:' .. id
local a = call('HMGET', key, 'status', 'round')
local j = call('HMGET', job_key(id), 'state', 'who')
local due = call('ZSCORE', P .. ':escalations', id)
if not due or tonumber(due) > tonumber(now) then return 0 end
if a[1] == 'pending' and a[2] ~= ARGV[3] then return 0 end
call('ZREM', P .. ':escalations', id)
if a[1] ~= 'pending' or j[1] ~= 'held' then return 0 end
call('HSET', key, 'escalated', now)
audit('approval.escalated', now, id, j[2], 'held', 'held', ARGV[4])
return 1

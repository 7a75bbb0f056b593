-- An operator takes a job out of the dead-letter list: one more attempt, gated again at hand-off.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 details
-- From: failed, timed_out. To: queued. Events: job.queued. Returns: {'queued', pool} | {state} | {''}
local id, now = ARGV[1], ARGV[2]
local j = call('HMGET', job_key(id), 'state', 'who', 'pool', 'boost', 'attempt')
if not j[1] then return {''} end
if j[1] ~= 'failed' and j[1] ~= 'timed_out' then return {j[1]} end
move(id, j[1], 'queued', now, j[2], ARGV[3], 'max', int(tonumber(j[5]) + 1), 'ready', now)
call('HSET', job_key(id), 'at', place(id, j[3], j[4], now, now))
call('HDEL', job_key(id), 'cancel', 'code', 'reason', 'ended', 'progress')
call('DEL', P .. ':result:' .. id)
return {'queued', j[3]}

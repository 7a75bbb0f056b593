-- Hand-off: a reserved job runs. Uses up its approval, takes its concurrency key, leases it to the worker.
-- A concurrency key is the submitter's: one at once. The decision's limit is for all jobs of the tenant on the topic,
-- whatever keys they bring; all that run are counted, so that a limit also holds against those started before it.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 reservation, 4 worker, 5 token, 6 permit id, 7 attempt, 8 lease until,
--   9 approval required (1/0), 10 job_hash, 11 snapshot, 12 jobs of the topic at once or 0, 13 stop ms or 0,
--   14 fail open (1/0), 15 decision, 16 details, 17 topic, 18 attempts max or 0, 19 ready again where crowded
-- From: queued (picked). To: running, expired; queued (parked, due). Events: approval.consumed, job.running | job.expired.
-- Returns: 'started' | 'parked' | 'crowded' | 'lost' | 'expired' | 'approval_missing'
local id, now = ARGV[1], ARGV[2]
local j = call('HMGET', job_key(id), 'state', 'who', 'at', 'reservation', 'attempt', 'ckey', 'deadline', 'score', 'pool',
  'hash', 'max', 'skip', 'base')
local skip = tonumber(j[12] or 0)
if j[1] ~= 'queued' or j[3] ~= 'picked' or j[4] ~= ARGV[3] or tonumber(ARGV[7]) ~= tonumber(j[5]) + skip + 1 then
  return 'lost'
end
local who, ckey = j[2], j[6]
if j[7] and tonumber(j[5]) == 0 and tonumber(now) >= tonumber(j[7]) then
  call('ZREM', P .. ':picked', id)
  call('ZREM', P .. ':deadlines', id)
  move(id, 'queued', 'expired', now, who, ARGV[16], 'at', '', 'code', 'deadline_passed', 'ended', now)
  close_approval(id, 'expired', now)
  unpark(ckey)
  return 'expired'
end
if ARGV[10] ~= '' and ARGV[10] ~= j[10] then return 'lost' end
local approval = call('HMGET', P .. ':approval:' .. id, 'status', 'hash', 'snapshot')
if ARGV[9] == '1'
    and not (approval[1] == 'released' and approval[2] == ARGV[10] and approval[3] == ARGV[11]) then
  return 'approval_missing'
end
if ckey and call('SCARD', P .. ':running:' .. ckey) >= 1 then
  call('ZREM', P .. ':picked', id)
  call('ZADD', P .. ':parked:' .. ckey, j[8], id)
  call('ZADD', P .. ':parked', 'NX', now, ckey)
  call('HSET', job_key(id), 'at', 'parked', 'reservation', '', 'reason', 'concurrency_key')
  return 'parked'
end
local crowd = P .. ':running_topic:' .. ARGV[17]
if ARGV[12] ~= '0' and call('SCARD', crowd) >= tonumber(ARGV[12]) then
  call('ZREM', P .. ':picked', id)
  call('ZADD', P .. ':due', ARGV[19], id)
  call('HSET', job_key(id), 'at', 'due', 'reservation', '', 'reason', 'max_concurrency')
  return 'crowded'
end
if ckey then call('SADD', P .. ':running:' .. ckey, id) end
call('SADD', crowd, id)
call('ZREM', P .. ':picked', id)
if approval[1] == 'released' then
  call('HSET', P .. ':approval:' .. id, 'status', 'consumed', 'resolved', now)
  audit('approval.consumed', now, id, who, 'queued', 'running', ARGV[16])
end
if j[7] then call('ZREM', P .. ':deadlines', id) end
call('ZADD', P .. ':leases', ARGV[8], id)
if ARGV[15] ~= '' then call('RPUSH', P .. ':decisions:' .. id, ARGV[15]) end
local seq = move(id, 'queued', 'running', now, who, ARGV[16], 'at', '', 'reservation', '', 'reason', '', 'attempt', ARGV[7],
  'token', ARGV[5], 'worker', ARGV[4], 'permit', ARGV[6], 'started', now, 'stop', ARGV[13], 'progress', '', 'topic', ARGV[17])
-- It started in time: nobody could tell any more, were the state lost.
if j[7] and tonumber(j[5]) == 0 then tell_log(id, seq) end
-- Attempts that were left out after a loss of the state do not count.
local base, attempts_max = tonumber(j[13] or 0) + skip, tonumber(j[11]) + skip
if skip > 0 then
  call('HDEL', job_key(id), 'skip')
  call('HSET', job_key(id), 'base', int(base), 'max', int(attempts_max))
end
-- The decision of now may allow fewer attempts than the one that let the job in, never more.
if ARGV[18] ~= '0' and tonumber(ARGV[18]) + base < attempts_max then
  call('HSET', job_key(id), 'max', int(tonumber(ARGV[18]) + base))
end
-- A job that entered or started without the kernel stays marked, whatever later starts are like.
if ARGV[14] == '1' then call('HSET', job_key(id), 'open', '1') end
return 'started'

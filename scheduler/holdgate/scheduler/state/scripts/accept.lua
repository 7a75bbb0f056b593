-- A job enters: idempotency, queue limit, rate limits, job, index, outbox, approval, audit, in one write.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 initial state, 4 job, 5 payload, 6 has payload (1/0), 7 job_hash, 8 who,
--   9 admission, 10 decision, 11 snapshot, 12 pool, 13 boost ms, 14 attempts max, 15 concurrency key, 16 deadline or 0,
--   17 ready, 18 fail open (1/0), 19 details, 20 idempotency key, 21 fingerprint, 22 its ttl ms or 0 (stays free), 23 queue max, 0 (no limit) or -1 (no room in any queue),
--   24 approval requirements, 25 approval expires, 26 log it (1/0), 27 code, 28 verdict, 29 approval escalates or 0, 30 shape,
--   31 standing grant or '', 32 digest of its terms, 33 their uses at most, 34 their end, 35 details of the use,
--   36 pairs of votes, 37.. each: approver, vote;
--   then five a throttle: bucket, interval us, period us, over, rule
-- From: nothing. To: accepted, held, scheduled, denied. Events: job.<state>, grant.used, grant.exhausted.
-- A held job that a standing grant releases enters as accepted, its approval released by the votes: if the grant has a
-- use left at this moment, under this snapshot. If not it is held as ever.
-- Returns: {'accepted', state} | {'replay', id, state, logged} | {'conflict'} | {'queue_full'} | {'queues_full'} | {'too_many_pools'}
--   | {'throttled', over, wait ms, rule}
local id, now, initial = ARGV[1], ARGV[2], ARGV[3]
local grant, votes = ARGV[31], tonumber(ARGV[36])
local idem = ARGV[20]

local function replay(of)
  local state = call('HGET', job_key(of), 'state')
  if not state then return nil end
  return {'replay', of, state, call('ZSCORE', P .. ':outbox', of) and 0 or 1}
end

if idem ~= '' then
  local known = call('GET', P .. ':idem:' .. idem)
  if known then
    local fingerprint, of = string.match(known, '^(%S+) (%S+)$')
    if fingerprint ~= ARGV[21] then return {'conflict'} end
    local answer = replay(of)
    if answer then return answer end
  end
end
local again = replay(id)
if again then return again end

local queue_max = tonumber(ARGV[23])
if queue_max < 0 then return {'queues_full'} end
if queue_max > 0 then
  local waiting = call('ZCARD', P .. ':state:queued') + call('ZCARD', P .. ':state:accepted')
    + call('ZCARD', P .. ':state:held') + call('ZCARD', P .. ':state:scheduled')
  if waiting >= queue_max then return {'queue_full'} end
end

-- Known before the job is there, so that none lies where no dispatcher looks. Any name is a pool, and dispatchers look at
-- each of them: no tenant has more at a time than these.
local POOLS_MAX = 64
if initial ~= 'denied' and call('SADD', P .. ':pools', ARGV[12]) == 1 and call('SCARD', P .. ':pools') > POOLS_MAX then
  call('SREM', P .. ':pools', ARGV[12])
  return {'too_many_pools'}
end

-- GCRA: all buckets are looked at before any is taken, so that a refused job takes nothing.
local ready = tonumber(ARGV[17])
local now_us = tonumber(now) * 1000
local taken, worst, worst_wait, worst_rule = {}, 0, 0, ''
local rank = {delay = 1, hold = 2, reject = 3}
for i = 37 + 2 * votes, #ARGV, 5 do
  local bucket, interval, period = P .. ':rate:' .. ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local arrival = math.max(tonumber(call('GET', bucket) or 0), now_us) + interval
  local wait = math.ceil((arrival - period - now_us) / 1000)
  taken[#taken + 1] = {bucket, arrival}
  if wait > 0 then
    local severity = rank[ARGV[i + 3]]
    if severity > worst or (severity == worst and wait > worst_wait) then
      worst, worst_wait, worst_rule = severity, wait, ARGV[i + 4]
    end
    ready = math.max(ready, tonumber(now) + wait)
  end
end
if worst >= 2 then return {'throttled', worst == 3 and 'reject' or 'hold', worst_wait, worst_rule} end
if worst == 1 and initial == 'accepted' then initial = 'scheduled' end
for _, take in ipairs(taken) do
  call('SET', take[1], int(take[2]), 'PX', int(math.ceil((take[2] - now_us) / 1000) + 1))
end

-- Gives how many uses the grant has had with this one; nil where it releases nothing. How many there may be and until
-- when is what was signed: of the count, Redis is all there is.
local function use_grant()
  local key, used_by = P .. ':grant:' .. grant, P .. ':grant_uses:' .. grant
  local g = call('HMGET', key, 'status', 'digest', 'snapshot', 'uses')
  if g[1] ~= 'active' or g[2] ~= ARGV[32] or g[3] ~= ARGV[11] or tonumber(now) >= tonumber(ARGV[34])
      or tonumber(g[4]) >= tonumber(ARGV[33]) then
    return nil
  end
  call('ZADD', used_by, now, id)
  call('PEXPIRE', used_by, math.max(1, call('PTTL', key)))
  return call('HINCRBY', key, 'uses', 1)
end

local uses = grant ~= '' and initial == 'held' and use_grant() or nil
if uses then initial = ready > tonumber(now) and 'scheduled' or 'accepted' end

local fields = {'job', ARGV[4], 'hash', ARGV[7], 'who', ARGV[8], 'decision', ARGV[10], 'snapshot', ARGV[11],
  'pool', ARGV[12], 'boost', ARGV[13], 'attempt', '0', 'max', ARGV[14], 'created', now, 'ready', int(ready)}
local function also(name, value, unless)
  if value ~= unless then
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
end
also('admission', ARGV[9], '')
also('ckey', ARGV[15], '')
also('deadline', ARGV[16], '0')
also('open', ARGV[18], '0')
also('code', ARGV[27], '')
if idem ~= '' and ARGV[22] ~= '0' then also('idem', ARGV[21] .. ' ' .. idem, nil) end
if ARGV[6] == '1' then also('payload', ARGV[5], nil) end
if initial == 'scheduled' then
  call('ZADD', P .. ':due', int(ready), id)
  also('at', 'due', nil)
end
if initial == 'denied' then also('ended', now, nil) end

move(id, '', initial, now, ARGV[8], ARGV[19], unpack(fields))
count(now, 'decision:' .. ARGV[28])
if initial == 'held' or uses then
  open_approval(id, now, ARGV[8], {hash = ARGV[7], snapshot = ARGV[11], requirements = ARGV[24], expires = ARGV[25],
    escalates = ARGV[29], shape = ARGV[30], round = 1, previous = '', before = ''})
end
if uses then
  unhold(id)
  local approval = P .. ':approval:' .. id
  call('HSET', approval, 'status', 'released', 'resolved', now, 'version', int(votes))
  for i = 37, 36 + 2 * votes, 2 do
    call('HSET', approval, 'voter:' .. person_of(ARGV[i]), '1', 'person:' .. person_of(ARGV[i]), '1')
    call('RPUSH', P .. ':votes:' .. id, ARGV[i + 1])
  end
  audit('grant.used', now, id, ARGV[8], initial, initial, ARGV[35])
  if uses >= tonumber(ARGV[33]) then end_grant(grant, 'exhausted', now, '', ARGV[35]) end
end
if ARGV[26] == '1' then call('ZADD', P .. ':outbox', now, id) end
if ARGV[16] ~= '0' and initial ~= 'denied' then call('ZADD', P .. ':deadlines', ARGV[16], id) end
if idem ~= '' and ARGV[22] ~= '0' then call('SET', P .. ':idem:' .. idem, ARGV[21] .. ' ' .. id, 'PX', ARGV[22]) end
return {'accepted', initial}

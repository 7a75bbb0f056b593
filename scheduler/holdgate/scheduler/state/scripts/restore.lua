-- A job of the log that the state lost is back: as it entered, votes void; or as it ended.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 state, 4 details, 5 ended or 0, 6 is to be told to the log of endings (1/0),
--   7 idempotency key, 8 fingerprint, 9 its ttl ms or 0, 10 approval requirements, 11 approval expires,
--   12 approval escalates or 0, 13 shape, 14 how many fields of the job, 15.. pairs: field, value;
--   then how many fields of the result, pairs, how many of the sealed output, pairs
-- From: nothing. To: accepted, held, scheduled; any terminal one. Events: job.restored.
-- Where its idempotency key names another job by now, for somebody sent the same request again while this one was away,
-- and it had not ended: it comes back cancelled, code `duplicate`. One request runs as one job.
-- Returns: 1 | 0 where it is there | 2 came back cancelled
local id, now, state = ARGV[1], ARGV[2], ARGV[3]
if call('HEXISTS', job_key(id), 'state') == 1 then return 0 end
local behind = 15 + 2 * tonumber(ARGV[14])
local fields, output = {unpack(ARGV, 15, behind - 1)}, output_of(ARGV, behind)
call('DEL', job_key(id))
call('HSET', job_key(id), unpack(fields))
local fingerprint, twin = string.match(ARGV[7] ~= '' and call('GET', P .. ':idem:' .. ARGV[7]) or '', '^(%S+) (%S+)$')
if twin and twin ~= id and fingerprint == ARGV[8] and not ENDED[state] and call('EXISTS', job_key(twin)) == 1 then
  call('HSET', job_key(id), 'code', 'duplicate', 'ended', now, 'reason', '')
  call('ZADD', ended_in('cancelled'), now, id)
  local who = call('HGET', job_key(id), 'who')
  tell_log(id, bring_back(id, '', 'cancelled', now, who, pack_details({restored = true, code = 'duplicate', of = twin})))
  call('HDEL', P .. ':endings', id)
  return 2
end
local j = call('HMGET', job_key(id), 'who', 'deadline', 'ready', 'hash', 'snapshot')
if ENDED[state] then
  call('HSET', job_key(id), 'ended', ARGV[5])
  store_ending(id, state, ARGV[5], output)
else
  if j[2] then call('ZADD', P .. ':deadlines', j[2], id) end
  if state == 'accepted' then call('ZADD', P .. ':outbox', now, id) end
  if state == 'scheduled' then
    call('ZADD', P .. ':due', j[3], id)
    call('HSET', job_key(id), 'at', 'due')
  end
end
local seq = bring_back(id, '', state, now, j[1], ARGV[4])
if ENDED[state] then call('HSET', job_key(id), 'updated', ARGV[5]) end
if state == 'held' then
  open_approval(id, now, j[1], {hash = j[4], snapshot = j[5], requirements = ARGV[10], expires = ARGV[11],
    escalates = ARGV[12], shape = ARGV[13], round = 1, previous = '', before = ''})
end
if ARGV[6] == '1' then tell_log(id, seq) end
if ARGV[7] ~= '' and ARGV[9] ~= '0' and call('HGET', job_key(id), 'code') ~= 'duplicate' then
  call('SET', P .. ':idem:' .. ARGV[7], ARGV[8] .. ' ' .. id, 'PX', ARGV[9], 'NX')
end
call('HDEL', P .. ':endings', id)
return 1

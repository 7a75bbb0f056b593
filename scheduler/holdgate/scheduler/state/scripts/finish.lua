-- The output gate's verdict ends an attempt; the result becomes readable in the same write.
-- KEYS: slot. ARGV: 1 id, 2 attempt, 3 token, 4 now, 5 to state, 6 code, 7 retry at, 8 details, 9 sealed bytes,
--   10 sealed ref, 11 seal verdict, 12 verdict in a word, 13.. pairs: field of the result, value
-- From: running, finishing. To: succeeded, quarantined, failed, timed_out, cancelled, queued.
-- Events: job.finishing (where it was not marked before), job.<state>.
-- Returns: {'finished', state, pool to wake or ''} | {'already', state} | {'stale', state} | {'not_allowed', state}
local id, now, to, code = ARGV[1], ARGV[4], ARGV[5], ARGV[6]
local j = call('HMGET', job_key(id), 'state', 'attempt', 'token', 'who', 'pool', 'boost', 'ckey', 'cancel', 'max',
  'finished')
local state = j[1] or ''
local mine = ARGV[2] .. ':' .. ARGV[3]
if j[10] == mine then return {'already', state} end
if (state ~= 'running' and state ~= 'finishing') or j[2] ~= ARGV[2] or j[3] ~= ARGV[3] then return {'stale', state} end
-- Cancelled while the attempt failed by itself: not tried again. Attempts used up: the same.
if to == 'queued' and j[8] then to, code = 'cancelled', 'cancelled' end
if to == 'queued' and tonumber(j[2]) >= tonumber(j[9]) then to = 'failed' end
local wake = ''
if state == 'running' then
  if to == 'succeeded' or to == 'quarantined' then
    move(id, 'running', 'finishing', now, j[4], ARGV[8])
    state = 'finishing'
  end
  wake = release(id, j[7])
end
if not ALLOWED[state .. '>' .. to] then return {'not_allowed', state} end
if to == 'queued' then
  local at = place(id, j[5], j[6], ARGV[7], now)
  move(id, state, to, now, j[4], ARGV[8], 'at', at, 'token', '', 'reason', code, 'ready', ARGV[7], 'finished', mine)
  call('HDEL', job_key(id), 'score')
  return {'finished', to, j[5]}
end
if ARGV[12] ~= '' then count(now, 'output:' .. ARGV[12]) end
if #ARGV > 12 then
  call('DEL', P .. ':result:' .. id)
  call('HSET', P .. ':result:' .. id, unpack(ARGV, 13))
end
if to == 'quarantined' then
  call('HSET', P .. ':sealed:' .. id, 'sealed', ARGV[9], 'ref', ARGV[10], 'verdict', ARGV[11], 'at', now,
    'attempt', ARGV[2])
end
move(id, state, to, now, j[4], ARGV[8], 'token', '', 'code', code, 'reason', '', 'ended', now, 'finished', mine)
-- What waits to be decided about is kept until it is, or its own time is over.
if to == 'quarantined' and (ARGV[9] ~= '' or ARGV[10] ~= '') then
  call('ZREM', ended_in(to), id)
  call('ZADD', P .. ':sealed_due', now, id)
end
return {'finished', to, wake}

-- A lease ended unrenewed: the next attempt, or the end.
-- KEYS: slot. ARGV: 1 id, 2 attempt, 3 now, 4 to state, 5 code, 6 retry at, 7 details
-- From: running. To: queued, failed, timed_out, cancelled. Events: job.<state>. Returns: state after | ''
local id, now, to = ARGV[1], ARGV[3], ARGV[4]
local j = call('HMGET', job_key(id), 'state', 'attempt', 'who', 'pool', 'boost', 'ckey', 'cancel', 'max')
local lease = call('ZSCORE', P .. ':leases', id)
if j[1] ~= 'running' or j[2] ~= ARGV[2] or not lease or tonumber(lease) > tonumber(now) then return '' end
if j[7] then to = 'cancelled' end
if to == 'queued' and tonumber(j[2]) >= tonumber(j[8]) then to = 'failed' end
if to == 'queued' then
  local at = place(id, j[4], j[5], ARGV[6], now)
  move(id, 'running', to, now, j[3], ARGV[7], 'at', at, 'token', '', 'reason', ARGV[5], 'ready', ARGV[6])
  call('HDEL', job_key(id), 'score')
else
  move(id, 'running', to, now, j[3], ARGV[7], 'token', '', 'code', to == 'cancelled' and 'cancelled' or ARGV[5],
    'ended', now)
end
release(id, j[6])
return to

-- An approver says yes or no. Release and rejection happen here and nowhere else.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 approver, 4 approve (1/0), 5 job_hash as shown, 6 snapshot as shown,
--   7 snapshot at this moment, 8 votes counted (the version is how many there are), 9 completes the requirements (1/0), 10 may vote (1/0), 11 vote, 12 details, 13 round read
-- From: held. To: queued (released), denied (rejected), held (more votes needed).
-- Events: approval.vote, and approval.released + job.queued | approval.rejected + job.denied.
-- Returns: {'pending'} | {'released', pool, ready (1/0)} | {'rejected'} | {'retry'} | {error code}
local id, now, approver = ARGV[1], ARGV[2], ARGV[3]
local key = P .. ':approval:' .. id
local a = call('HMGET', key, 'status', 'hash', 'snapshot', 'expires', 'version', 'round')
local j = call('HMGET', job_key(id), 'state', 'who', 'pool', 'boost', 'ready', 'hash')
if not a[1] or not j[1] then return {'approval_not_found'} end
if a[1] == 'expired' then return {'approval_expired'} end
if a[1] ~= 'pending' or j[1] ~= 'held' then return {'approval_resolved'} end
if tonumber(now) >= tonumber(a[4]) then return {'approval_expired'} end
if ARGV[5] ~= a[2] or a[2] ~= j[6] then return {'approval_stale_job'} end
if ARGV[6] ~= a[3] or ARGV[7] ~= a[3] then return {'approval_stale_policy'} end
local who = cmsgpack.unpack(j[2])
if approver == who.actor then return {'approval_self'} end
for _, principal in ipairs(who.principals) do
  if approver == principal then return {'approval_self'} end
end
if call('HEXISTS', key, 'voter:' .. approver) == 1 then return {'approval_duplicate_vote'} end
-- The requirements were looked at outside, over the votes of this round and version.
if a[5] ~= ARGV[8] or a[6] ~= ARGV[13] then return {'retry'} end
if ARGV[10] == '0' then return {'approval_forbidden'} end
call('HSET', key, 'voter:' .. approver, ARGV[4], 'version', int(tonumber(a[5]) + 1))
call('RPUSH', P .. ':votes:' .. id, ARGV[11])
audit('approval.vote', now, id, j[2], 'held', 'held', ARGV[12])
if ARGV[4] == '0' then
  close_approval(id, 'rejected', now)
  call('ZREM', P .. ':deadlines', id)
  move(id, 'held', 'denied', now, j[2], ARGV[12], 'at', '', 'code', 'approval_rejected', 'ended', now)
  return {'rejected'}
end
if ARGV[9] == '0' then return {'pending'} end
call('ZREM', P .. ':approvals_due', id)
call('HSET', key, 'status', 'released', 'resolved', now)
count_wait(call('HGET', key, 'created'), now)
local at = place(id, j[3], j[4], j[5], now)
move(id, 'held', 'queued', now, j[2], ARGV[12], 'at', at)
return {'released', j[3], at == 'backlog' and 1 or 0}

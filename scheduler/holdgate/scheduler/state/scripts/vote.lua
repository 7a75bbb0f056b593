-- An approver says yes or no. Release and rejection happen here and nowhere else.
-- Votes that break the glass are counted apart from the others, and nobody casts two of either kind in a round.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 approver, 4 approve (1/0), 5 job_hash as shown, 6 snapshot as shown,
--   7 snapshot at this moment, 8 votes counted (the version is how many there are), 9 completes the requirements (1/0),
--   10 code of what the rules refuse it for or '', 11 vote, 12 details, 13 round read, 14 person voted for,
--   15 ms that the approver must have read it or 0, 16 breaks the glass (1/0), 17 released by that (1/0), 18 details of the end,
--   19.. delegations by which the approver votes for the person
-- From: held. To: queued (released), denied (rejected), held (more votes needed).
-- Events: approval.vote, delegation.used, approval.break_glass, and approval.released + job.queued | approval.rejected + job.denied.
-- Returns: {'pending'} | {'released', pool, ready (1/0)} | {'rejected'} | {'retry'} | {'approval_too_soon', wait ms}
--   | {'approval_duplicate_vote', 'approver' or 'person'} | {error code}
local id, now, approver, person = ARGV[1], ARGV[2], person_of(ARGV[3]), person_of(ARGV[14])
local key = P .. ':approval:' .. id
local a = call('HMGET', key, 'status', 'hash', 'snapshot', 'expires', 'version', 'round', 'created', 'seen:' .. approver)
local j = call('HMGET', job_key(id), 'state', 'who', 'pool', 'boost', 'ready', 'hash', 'created')
if not a[1] or not j[1] then return {'approval_not_found'} end
if a[1] == 'expired' then return {'approval_expired'} end
if a[1] ~= 'pending' or j[1] ~= 'held' then return {'approval_resolved'} end
if tonumber(now) >= tonumber(a[4]) then return {'approval_expired'} end
if ARGV[5] ~= a[2] or a[2] ~= j[6] then return {'approval_stale_job'} end
if ARGV[6] ~= a[3] or ARGV[7] ~= a[3] then return {'approval_stale_policy'} end
local who = cmsgpack.unpack(j[2])
local function speaks_for(name) return approver == person_of(name) or person == person_of(name) end
if speaks_for(who.actor) then return {'approval_self'} end
for _, principal in ipairs(who.principals) do
  if speaks_for(principal) then return {'approval_self'} end
end
local voter, voted_for = 'voter:' .. approver, 'person:' .. person
if ARGV[16] == '1' then voter, voted_for = 'glass_' .. voter, 'glass_' .. voted_for end
if call('HEXISTS', key, voter) == 1 then return {'approval_duplicate_vote', 'approver'} end
-- Whoever lets somebody else say yes for them can still say no.
if ARGV[4] == '1' and call('HEXISTS', key, voted_for) == 1 then
  return {'approval_duplicate_vote', 'person'}
end
-- The requirements were looked at outside, over the votes of this round and version.
if a[5] ~= ARGV[8] or a[6] ~= ARGV[13] then return {'retry'} end
if ARGV[10] ~= '' then return {ARGV[10]} end
-- Looked at before, outside: one that was revoked since counts no more.
for i = 19, #ARGV do
  local d = call('HMGET', P .. ':delegation:' .. ARGV[i], 'expires', 'revoked')
  if not d[1] or d[2] or tonumber(now) >= tonumber(d[1]) then return {'delegation_forbidden'} end
end
if ARGV[15] ~= '0' then
  local wait = tonumber(a[8] or now) + tonumber(ARGV[15]) - tonumber(now)
  if wait > 0 then return {'approval_too_soon', int(wait)} end
end
call('HSET', key, voter, ARGV[4], voted_for, ARGV[4], 'version', int(tonumber(a[5]) + 1))
call('RPUSH', P .. ':votes:' .. id, ARGV[11])
audit('approval.vote', now, id, j[2], 'held', 'held', ARGV[12])
if #ARGV > 18 then audit('delegation.used', now, id, j[2], 'held', 'held', ARGV[12]) end
if ARGV[16] == '1' then audit('approval.break_glass', now, id, j[2], 'held', 'held', ARGV[12]) end
if ARGV[4] == '0' then
  close_approval(id, 'rejected', now)
  call('ZREM', P .. ':deadlines', id)
  audit('approval.rejected', now, id, j[2], 'held', 'held', ARGV[18])
  move(id, 'held', 'denied', now, j[2], ARGV[12], 'at', '', 'code', 'approval_rejected', 'ended', now)
  return {'rejected'}
end
if ARGV[9] == '0' then return {'pending'} end
call('HSET', key, 'status', 'released', 'resolved', now)
count_wait(a[7], now)
audit('approval.released', now, id, j[2], 'held', 'held', ARGV[18])
if ARGV[17] == '1' then call('HSET', job_key(id), 'glass', '1') end
local at = place(id, j[3], j[4], ready_of(j[5], j[7], now), now)
move(id, 'held', 'queued', now, j[2], ARGV[12], 'at', at)
return {'released', j[3], at == 'backlog' and 1 or 0}

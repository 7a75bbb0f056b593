-- An approver says what becomes of a sealed output. It is released or destroyed by people here and nowhere else.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 approver, 4 act (release, destroy), 5 digest of the sealed bytes as shown,
--   6 votes counted, 7 completes the act (1/0), 8 vote, 9 details, 10 what it is for, in a word, 11 digest of the
--   replacement or '', 12 that it is proposed or '', 13 the replacement or '', 14.. pairs: field of the result, value
--   (where a release is complete)
-- From: quarantined. To: succeeded (released), quarantined (destroyed, or more votes needed).
-- Events: quarantine.vote, and quarantine.released + job.succeeded | quarantine.destroyed.
-- Returns: {'pending'} | {'released'} | {'destroyed'} | {'retry'} | {error code}
local id, now, approver, act = ARGV[1], ARGV[2], person_of(ARGV[3]), ARGV[4]
local key, votes = P .. ':sealed:' .. id, P .. ':sealed_votes:' .. id
local s = call('HMGET', key, 'verdict', 'ref', 'status', 'proposed_digest')
local j = call('HMGET', job_key(id), 'state', 'who')
if not s[1] or not j[1] then return {'quarantine_not_found'} end
if s[3] or j[1] ~= 'quarantined' then return {'quarantine_resolved'} end
if s[2] == '' and call('HSTRLEN', key, 'sealed') == 0 then return {'quarantine_resolved'} end
if cmsgpack.unpack(s[1]).sealed_digest ~= ARGV[5] then return {'quarantine_stale'} end
-- Who votes for a replacement has seen the one that is there now, or brings it.
if ARGV[11] ~= '' and ARGV[12] == '' and s[4] ~= ARGV[11] then return {'quarantine_stale'} end
local who = cmsgpack.unpack(j[2])
if approver == person_of(who.actor) then return {'approval_self'} end
for _, principal in ipairs(who.principals) do
  if approver == person_of(principal) then return {'approval_self'} end
end
if call('HGET', key, 'voter:' .. approver) == ARGV[10] then return {'approval_duplicate_vote'} end
local cast = call('LLEN', votes)
if cast ~= tonumber(ARGV[6]) then return {'retry'} end
call('HSET', key, 'voter:' .. approver, ARGV[10])
call('RPUSH', votes, ARGV[8])
if ARGV[12] ~= '' then
  call('HSET', key, 'proposed', ARGV[12], 'proposed_digest', ARGV[11], 'proposal', ARGV[13])
end
audit('quarantine.vote', now, id, j[2], 'quarantined', 'quarantined', ARGV[9])
if ARGV[7] == '0' then return {'pending'} end
local status = act == 'release' and 'released' or 'destroyed'
unseal(id, status, now, ARGV[3], s[2])
local seq = audit('quarantine.' .. status, now, id, j[2], 'quarantined', 'quarantined', ARGV[9])
if status == 'destroyed' then
  call('ZADD', ended_in('quarantined'), now, id)
  tell_log(id, seq)
  return {'destroyed'}
end
call('DEL', P .. ':result:' .. id)
call('HSET', P .. ':result:' .. id, unpack(ARGV, 14))
move(id, 'quarantined', 'succeeded', now, j[2], ARGV[9], 'code', '', 'reason', '')
return {'released'}

-- An approver says what becomes of a sealed output. It is released or destroyed here and nowhere else.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 approver, 4 act (release, destroy), 5 digest of the sealed bytes as shown,
--   6 votes counted, 7 completes the act (1/0), 8 vote, 9 details, 10.. pairs: field of the result, value (where a
--   release is complete)
-- From: quarantined. To: succeeded (released), quarantined (destroyed, or more votes needed).
-- Events: quarantine.vote, and quarantine.released + job.succeeded | quarantine.destroyed.
-- Returns: {'pending'} | {'released'} | {'destroyed'} | {'retry'} | {error code}
local id, now, approver, act = ARGV[1], ARGV[2], person_of(ARGV[3]), ARGV[4]
local key, votes = P .. ':sealed:' .. id, P .. ':sealed_votes:' .. id
local s = call('HMGET', key, 'verdict', 'ref', 'status')
local j = call('HMGET', job_key(id), 'state', 'who')
if not s[1] or not j[1] then return {'quarantine_not_found'} end
if s[3] or j[1] ~= 'quarantined' then return {'quarantine_resolved'} end
if s[2] == '' and call('HSTRLEN', key, 'sealed') == 0 then return {'quarantine_resolved'} end
if cmsgpack.unpack(s[1]).sealed_digest ~= ARGV[5] then return {'quarantine_stale'} end
local who = cmsgpack.unpack(j[2])
if approver == person_of(who.actor) then return {'approval_self'} end
for _, principal in ipairs(who.principals) do
  if approver == person_of(principal) then return {'approval_self'} end
end
if call('HEXISTS', key, 'voter:' .. approver) == 1 then return {'approval_duplicate_vote'} end
if call('LLEN', votes) ~= tonumber(ARGV[6]) then return {'retry'} end
call('HSET', key, 'voter:' .. approver, act)
call('RPUSH', votes, ARGV[8])
audit('quarantine.vote', now, id, j[2], 'quarantined', 'quarantined', ARGV[9])
if ARGV[7] == '0' then return {'pending'} end
local status = act == 'release' and 'released' or 'destroyed'
-- An object of its own, under the digest of a box that is sealed once: nobody else's.
if s[2] ~= '' then call('SADD', P .. ':doomed', s[2]) end
call('HDEL', key, 'sealed', 'ref')
call('HSET', key, 'status', status, 'resolved', now, 'by', ARGV[3])
audit('quarantine.' .. status, now, id, j[2], 'quarantined', 'quarantined', ARGV[9])
if status == 'destroyed' then return {'destroyed'} end
call('DEL', P .. ':result:' .. id)
call('HSET', P .. ':result:' .. id, unpack(ARGV, 10))
move(id, 'quarantined', 'succeeded', now, j[2], ARGV[9], 'code', '', 'reason', '')
return {'released'}

-- An approver asks for a standing grant, and gives the first part of it.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 bucket (of agent and topic), 4 expires, 5 snapshot, 6 terms, 7 digest, 8 requirements,
--   9 uses at most, 10 part, 11 by, 12 completes the requirements (1/0), 13 kept until, 14 most in the bucket,
--   15 most in the tenant, 16 forget ids below, 17 details
-- From: nothing. To: pending, active. Events: grant.requested, grant.active. Returns: 'pending' | 'active' | 'limit'
local id, now = ARGV[1], ARGV[2]
local key, bucket = P .. ':grant:' .. id, P .. ':grants_for:' .. ARGV[3]
if call('ZCARD', bucket) >= tonumber(ARGV[14]) or call('ZCARD', P .. ':grants_live') >= tonumber(ARGV[15]) then
  return 'limit'
end
local status = ARGV[12] == '1' and 'active' or 'pending'
call('ZREMRANGEBYLEX', P .. ':grants', '-', '(' .. ARGV[16])
call('HSET', key, 'status', status, 'bucket', ARGV[3], 'requested', now, 'expires', ARGV[4], 'snapshot', ARGV[5],
  'terms', ARGV[6], 'digest', ARGV[7], 'requirements', ARGV[8], 'max', ARGV[9], 'uses', 0, 'giver:' .. person_of(ARGV[11]), now)
call('RPUSH', P .. ':grant_parts:' .. id, ARGV[10])
call('PEXPIREAT', key, ARGV[13])
call('PEXPIREAT', P .. ':grant_parts:' .. id, ARGV[13])
call('ZADD', P .. ':grants', 0, id)
call('ZADD', P .. ':grants_live', ARGV[4], id)
call('ZADD', bucket, ARGV[4], id)
audit('grant.requested', now, '', '', '', '', ARGV[17])
if status == 'active' then audit('grant.active', now, '', '', '', '', ARGV[17]) end
return status

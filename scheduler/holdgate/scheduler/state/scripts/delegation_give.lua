-- Somebody lets somebody else vote in their roles for a time.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 delegator, 4 delegate, 5 expires, 6 signed, 7 kept until, 8 most at one time,
--   9 forget ids below, 10 details
-- From: nothing. To: given. Events: delegation.given. Returns: 'given' | 'limit'
local id, now = ARGV[1], ARGV[2]
local mine, theirs = P .. ':delegations_by:' .. person_of(ARGV[3]), P .. ':delegations_to:' .. person_of(ARGV[4])
local all = P .. ':delegations'
for _, index in ipairs({mine, theirs}) do
  call('ZREMRANGEBYSCORE', index, '-inf', now)
  if call('ZCARD', index) >= tonumber(ARGV[8]) then return 'limit' end
end
call('ZREMRANGEBYLEX', all, '-', '(' .. ARGV[9])
call('HSET', P .. ':delegation:' .. id, 'signed', ARGV[6], 'delegator', ARGV[3], 'delegate', ARGV[4],
  'given', now, 'expires', ARGV[5])
call('PEXPIREAT', P .. ':delegation:' .. id, ARGV[7])
call('ZADD', all, 0, id)
call('ZADD', mine, ARGV[5], id)
call('ZADD', theirs, ARGV[5], id)
call('PEXPIREAT', mine, ARGV[7])
call('PEXPIREAT', theirs, ARGV[7])
audit('delegation.given', now, '', '', '', '', ARGV[10])
return 'given'

-- Somebody signed in. What is kept tells whether the session lives and is shown in lists; it makes no identity.
-- The oldest session of a person ends when they have as many as they may.
-- KEYS: slot. ARGV: 1 sid, 2 now, 3 idle ms, 4 expires, 5 actor, 6 shown, 7 details, 8 sessions of a person at most,
-- 9 sid before which everything has expired
-- From, to: none. Events: signin.accepted; session.ended of the oldest. Returns: {'live'}
local sid, now, idle, expires, actor = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local all, own = P .. ':sessions', P .. ':sessions_of:' .. person_of(actor)
for _, index in ipairs({all, own}) do
  call('ZREMRANGEBYLEX', index, '-', '(' .. ARGV[9])
  call('ZADD', index, 0, sid)
end
for _, old in ipairs(call('ZRANGE', own, 0, -1 - tonumber(ARGV[8]))) do
  if call('DEL', P .. ':session:' .. old) == 1 then
    audit('session.ended', ARGV[2], '', '', '', '', pack_details({actor = actor, session = old, replaced_by = sid}))
  end
  call('ZREM', own, old)
  call('ZREM', all, old)
end
call('PEXPIRE', own, int(expires - now))
local key = P .. ':session:' .. sid
call('HSET', key, 'actor', actor, 'seen', ARGV[2], 'expires', ARGV[4], 'shown', ARGV[6])
call('PEXPIRE', key, int(math.min(idle, expires - now)))
audit('signin.accepted', ARGV[2], '', '', '', '', ARGV[7])
return {'live'}

-- A session ends before its time.
-- KEYS: slot. ARGV: 1 sid, 2 now, 3 the person it must be of, or '' for anybody's, 4 event, 5 details
-- From, to: none. Events: session.ended, session.revoked. Returns: {'ended'} | {error code}
local key = P .. ':session:' .. ARGV[1]
local actor = call('HGET', key, 'actor')
if not actor or (ARGV[3] ~= '' and person_of(ARGV[3]) ~= person_of(actor)) then return {'session_not_found'} end
call('DEL', key)
call('ZREM', P .. ':sessions', ARGV[1])
call('ZREM', P .. ':sessions_of:' .. person_of(actor), ARGV[1])
audit(ARGV[4], ARGV[2], '', '', '', '', ARGV[5])
return {'ended'}

-- A delegation ends before its time. Votes that were cast by it stay.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 by, 4 details
-- From: given. To: revoked. Events: delegation.revoked. Returns: 'revoked' | 'ended' | 'unknown'
local id, now = ARGV[1], ARGV[2]
local key = P .. ':delegation:' .. id
local d = call('HMGET', key, 'delegator', 'delegate', 'expires', 'revoked')
if not d[1] then return 'unknown' end
if d[4] or tonumber(now) >= tonumber(d[3]) then return 'ended' end
call('HSET', key, 'revoked', now, 'revoked_by', ARGV[3])
call('ZREM', P .. ':delegations_by:' .. person_of(d[1]), id)
call('ZREM', P .. ':delegations_to:' .. person_of(d[2]), id)
audit('delegation.revoked', now, '', '', '', '', ARGV[4])
return 'revoked'

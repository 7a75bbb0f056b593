-- Another approver gives their part of a standing grant.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 approver, 4 digest as shown, 5 snapshot at this moment, 6 parts counted,
--   7 completes the requirements (1/0), 8 part, 9 details
-- From: pending. To: pending, active. Events: grant.approved, grant.active.
-- Returns: 'pending' | 'active' | 'retry' | 'unknown' | 'ended' | 'stale' | 'policy' | 'duplicate'
local id, now = ARGV[1], ARGV[2]
local key, parts = P .. ':grant:' .. id, P .. ':grant_parts:' .. id
local g = call('HMGET', key, 'status', 'digest', 'snapshot', 'expires', 'giver:' .. person_of(ARGV[3]))
if not g[1] then return 'unknown' end
if g[1] ~= 'pending' or tonumber(now) >= tonumber(g[4]) then return 'ended' end
if ARGV[4] ~= g[2] then return 'stale' end
if ARGV[5] ~= g[3] then return 'policy' end
if g[5] then return 'duplicate' end
-- The requirements were looked at outside, over these parts.
if call('LLEN', parts) ~= tonumber(ARGV[6]) then return 'retry' end
call('HSET', key, 'giver:' .. person_of(ARGV[3]), now)
call('RPUSH', parts, ARGV[8])
audit('grant.approved', now, '', '', '', '', ARGV[9])
if ARGV[7] == '0' then return 'pending' end
call('HSET', key, 'status', 'active')
audit('grant.active', now, '', '', '', '', ARGV[9])
return 'active'

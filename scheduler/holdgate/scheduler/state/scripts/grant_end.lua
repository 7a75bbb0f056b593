-- A person ends a standing grant. Jobs that it released stay released.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 by, 4 to state from pending, 5 to state from active, 6 details
-- From: pending, active. To: withdrawn, rejected, revoked. Events: grant.withdrawn, grant.rejected, grant.revoked.
-- Returns: state after | 'unknown' | 'over'
local id, now = ARGV[1], ARGV[2]
local status = call('HGET', P .. ':grant:' .. id, 'status')
if not status then return 'unknown' end
if status ~= 'pending' and status ~= 'active' then return 'over' end
local to = status == 'pending' and ARGV[4] or ARGV[5]
end_grant(id, to, now, ARGV[3], ARGV[6])
return to

-- Standing grants whose time is over.
-- KEYS: slot. ARGV: 1 now, 2 limit
-- From: pending, active. To: expired. Events: grant.expired. Returns: how many
local now = ARGV[1]
local ids = call('ZRANGEBYSCORE', P .. ':grants_live', '-inf', now, 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do end_grant(id, 'expired', now, '', pack_details({grant_id = id})) end
return #ids

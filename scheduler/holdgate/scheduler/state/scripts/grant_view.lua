-- An approver looks at a pending grant whose rules want it read for a while: the first look counts.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 viewer
-- From, to: pending. Events: none. Returns: when the viewer saw it first | '' where it is not pending
local key, field = P .. ':grant:' .. ARGV[1], 'seen:' .. person_of(ARGV[3])
if call('HGET', key, 'status') ~= 'pending' then return '' end
call('HSETNX', key, field, ARGV[2])
return call('HGET', key, field)

-- An approver looks at a held job whose rule wants it read for a while: the first look of the round counts.
-- KEYS: slot. ARGV: 1 id, 2 now, 3 viewer, 4 round read, 5 details
-- From, to: held. Events: approval.viewed, once for each viewer of a round.
-- Returns: when the viewer saw this round first | '' where it is another round, or decided
local id, now, field = ARGV[1], ARGV[2], 'seen:' .. person_of(ARGV[3])
local key = P .. ':approval:' .. id
local a = call('HMGET', key, 'status', 'round', field)
local j = call('HMGET', job_key(id), 'state', 'who')
if a[1] ~= 'pending' or j[1] ~= 'held' or a[2] ~= ARGV[4] then return '' end
if a[3] then return a[3] end
call('HSET', key, field, now)
audit('approval.viewed', now, id, j[2], 'held', 'held', ARGV[5])
return now

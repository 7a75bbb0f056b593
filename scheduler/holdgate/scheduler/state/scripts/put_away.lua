-- The value of a released output lies in the object store now: its record says where, and the copy beside it goes.
-- KEYS: slot. ARGV: 1 id, 2 record as it was written, 3 record that names the object
-- From, to: any. Events: none.
-- Returns: 1, or 0 when the result is not that one any more
local key = P .. ':result:' .. ARGV[1]
if call('HGET', key, 'record') ~= ARGV[2] then return 0 end
call('HSET', key, 'record', ARGV[3])
call('HDEL', key, 'value')
return 1

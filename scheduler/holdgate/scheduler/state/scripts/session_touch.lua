-- A request of a session: whether it still lives. Written at most once in `every`, so that reading a page is a read.
-- KEYS: slot. ARGV: 1 sid, 2 now, 3 idle ms, 4 every ms
-- From, to: none. Returns: {'live'} | {'ended'}
local key, now, idle = P .. ':session:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local found = call('HMGET', key, 'seen', 'expires')
if not found[1] or not found[2] then return {'ended'} end
local seen, expires = tonumber(found[1]), tonumber(found[2])
if now >= expires or now - seen >= idle then return {'ended'} end
if now - seen >= tonumber(ARGV[4]) then
  call('HSET', key, 'seen', ARGV[2])
  call('PEXPIRE', key, int(math.min(idle, expires - now)))
end
return {'live'}

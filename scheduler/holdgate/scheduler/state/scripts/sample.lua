-- How many jobs wait and run at this moment; the minute keeps the highest. A tenant without any leaves nothing behind.
-- KEYS: slot. ARGV: 1 now, 2.. levels (names of states)
-- From, to: any. Events: none. Returns: how many, in the order of ARGV
local now, found = ARGV[1], {}
local minute = P .. ':stats:' .. int(math.floor(tonumber(now) / 60000))
for i = 2, #ARGV do
  local level = call('ZCARD', P .. ':state:' .. ARGV[i])
  local field = 'level:' .. ARGV[i]
  if level > tonumber(call('HGET', minute, field) or 0) then
    call('HSET', minute, field, level)
    call('EXPIRE', minute, STATS_KEPT_S)
  end
  found[#found + 1] = level
end
return found

-- A submit looks for a standing grant that could release its job. What is in one is verified by whoever asks.
-- KEYS: slot. ARGV: 1 now, 2 bucket (of agent and topic), 3 snapshot
-- From, to: none. Events: none. Returns, for each with uses left: {id, terms, digest, part, ...}
local found = {}
for _, id in ipairs(call('ZRANGEBYSCORE', P .. ':grants_for:' .. ARGV[2], '(' .. ARGV[1], '+inf')) do
  local g = call('HMGET', P .. ':grant:' .. id, 'status', 'snapshot', 'uses', 'max', 'terms', 'digest')
  if g[1] == 'active' and g[2] == ARGV[3] and tonumber(g[3]) < tonumber(g[4]) then
    found[#found + 1] = {id, g[5], g[6], unpack(call('LRANGE', P .. ':grant_parts:' .. id, 0, -1))}
  end
end
return found

-- Pools in which no job of the tenant waits or runs any more are looked at no longer. The next job in one brings it back.
-- KEYS: slot. ARGV: 1 how many jobs are looked at; of a tenant that has more waiting or running, nothing is forgotten
-- From, to: any. Events: none. Returns: how many pools were forgotten
local unended, total = {'accepted', 'held', 'scheduled', 'queued', 'running', 'finishing'}, 0
for _, state in ipairs(unended) do total = total + call('ZCARD', P .. ':state:' .. state) end
if total > tonumber(ARGV[1]) then return 0 end
local used, forgotten = {}, 0
for _, state in ipairs(unended) do
  for _, id in ipairs(call('ZRANGE', P .. ':state:' .. state, 0, -1)) do
    used[call('HGET', job_key(id), 'pool') or ''] = true
  end
end
for _, pool in ipairs(call('SMEMBERS', P .. ':pools')) do
  if not used[pool] and call('ZCARD', P .. ':backlog:' .. pool) == 0 then
    forgotten = forgotten + call('SREM', P .. ':pools', pool)
  end
end
return forgotten

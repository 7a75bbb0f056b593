-- Entries of a place of waiting or running jobs that name a job which is not in it.
-- KEYS: slot. ARGV: 1 what the place is (backlog, picked, due, leases), 2 its name, 3 mend (1) or look (0), 4 first rank, 5 last
-- From, to: any. Events: none. Returns: {how many were looked at, those that were not of it}
local key, strays = P .. ':' .. ARGV[2], {}
local ids = call('ZRANGE', key, ARGV[4], ARGV[5])
for _, id in ipairs(ids) do
  local j = call('HMGET', job_key(id), 'state', 'at')
  local fits = ARGV[1] == 'leases' and j[1] == 'running'
    or (j[1] == 'queued' or j[1] == 'scheduled') and j[2] == ARGV[1]
  if not fits then
    strays[#strays + 1] = id
    if ARGV[3] == '1' then call('ZREM', key, id) end
  end
end
return {#ids, strays}

-- The state was set back: attempts that it does not know may have run. Their numbers are not given out again, so that no
-- worker takes a new one for an old one, and votes for them release nothing a second time.
-- KEYS: slot. ARGV: ids
-- From, to: accepted, scheduled, queued, running, held where nobody voted. Events: none. Returns: how many
local count = 0
for _, id in ipairs(ARGV) do
  local j = call('HMGET', job_key(id), 'state', 'attempt', 'max', 'skip')
  if j[1] and not ENDED[j[1]] and not (j[1] == 'held' and call('EXISTS', P .. ':votes:' .. id) == 1) then
    local by = math.max(1, tonumber(j[3]) - tonumber(j[2]))
    call('HSET', job_key(id), 'skip', int(tonumber(j[4] or 0) + by))
    if j[1] == 'queued' then call('HSET', job_key(id), 'reason', 'state_set_back') end
    -- Who has it reserved would start it under the number that it was told.
    if call('HGET', job_key(id), 'at') == 'picked' then call('HSET', job_key(id), 'reservation', '') end
    count = count + 1
  end
end
return count

-- Ended jobs of which the log of endings does not know: it is to be told.
-- KEYS: slot. ARGV: ids
-- From, to: any terminal one. Events: none. Returns: how many
local count = 0
for _, id in ipairs(ARGV) do
  local j = call('HMGET', job_key(id), 'state', 'admission')
  if j[1] and ENDED[j[1]] and j[2] and not call('ZSCORE', P .. ':unlogged', id) then
    local last = call('LINDEX', P .. ':timeline:' .. id, -1)
    tell_log(id, last and cmsgpack.unpack(last)[1] or 0)
    count = count + 1
  end
end
return count

-- Jobs of whose end the log is to be told, or that they run, or are to be cancelled; what happened first comes first. One dispatcher at a time does it for a tenant, for as
-- long as its claim holds; a second one would do no harm.
-- KEYS: slot. ARGV: 1 who asks, 2 how long the claim holds in ms, 3 limit, 4 bytes of results at most
-- From, to: any. Events: none.
-- Returns: {} where another has the claim, or for each: {id, seq, job fields, result, sealed}; at least one where there are
--   any. Job fields: state, attempt, attempts max, code, updated, ended, who
--   has it cancelled while it runs. Of a sealed output never the bytes: they are to
--   be gone when people destroy them, and the log keeps what it was told.
local claim = P .. ':unlogged_claim'
local holder = call('GET', claim)
if holder and holder ~= ARGV[1] then return {} end
call('SET', claim, ARGV[1], 'PX', ARGV[2])
local found, bytes = {}, 0
local due = call('ZRANGE', P .. ':unlogged', 0, tonumber(ARGV[3]) - 1, 'WITHSCORES')
for i = 1, #due, 2 do
  local id = due[i]
  local j = call('HMGET', job_key(id), 'state', 'attempt', 'max', 'code', 'updated', 'ended', 'cancel')
  if not j[1] then
    call('ZREM', P .. ':unlogged', id)
  else
    local result, sealed = {}, {}
    if ENDED[j[1]] then
      j[7] = false
      result = call('HGETALL', P .. ':result:' .. id)
      sealed = call('HMGET', P .. ':sealed:' .. id, 'ref', 'verdict', 'at', 'attempt', 'status', 'resolved', 'by')
    end
    for _, part in ipairs(result) do bytes = bytes + #part end
    found[#found + 1] = {id, due[i + 1], j, result, sealed}
    if bytes > tonumber(ARGV[4]) then break end
  end
end
return found

-- Endings of the log that the state does not know: where each is in the log, the newest of a job.
-- KEYS: slot. ARGV: 1 kept for ms, 2.. three an ending: id, seq, place in the log (0: over for so long that it is forgotten)
-- From, to: any. Events: none. Returns: nothing.
local key = P .. ':endings'
for i = 2, #ARGV, 3 do
  local known = call('HGET', key, ARGV[i])
  if not known or tonumber(string.match(known, '^%d+')) <= tonumber(ARGV[i + 1]) then
    call('HSET', key, ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2])
  end
end
call('PEXPIRE', key, ARGV[1])

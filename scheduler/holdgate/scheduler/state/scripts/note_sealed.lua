-- Results wait for their verdict: the jobs show why.
-- KEYS: slot. ARGV: 1 reason, 2.. three a claim: id, attempt, token
-- From: finishing. To: the same. Events: none. Returns: how many jobs show it.
local shown = 0
for i = 2, #ARGV, 3 do
  local j = call('HMGET', job_key(ARGV[i]), 'state', 'attempt', 'token')
  if j[1] == 'finishing' and j[2] == ARGV[i + 1] and j[3] == ARGV[i + 2] then
    call('HSET', job_key(ARGV[i]), 'reason', ARGV[1])
    shown = shown + 1
  end
end
return shown

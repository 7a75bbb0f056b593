-- Results wait for their verdict: the jobs show why, and the audit log says it once for each reason.
-- KEYS: slot. ARGV: 1 now, 2 reason, 3 details, 4.. three a claim: id, attempt, token
-- From: finishing. To: the same. Events: output.sealed, where the reason is another than before.
-- Returns: how many jobs show it.
local shown = 0
for i = 4, #ARGV, 3 do
  local id = ARGV[i]
  local j = call('HMGET', job_key(id), 'state', 'attempt', 'token', 'reason', 'who')
  if j[1] == 'finishing' and j[2] == ARGV[i + 1] and j[3] == ARGV[i + 2] then
    if j[4] ~= ARGV[2] then
      call('HSET', job_key(id), 'reason', ARGV[2])
      audit('output.sealed', ARGV[1], id, j[5], 'finishing', 'finishing', ARGV[3])
    end
    shown = shown + 1
  end
end
return shown

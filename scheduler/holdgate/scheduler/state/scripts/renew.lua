-- A heartbeat extends leases, up to the end of the permitted run time.
-- KEYS: slot. ARGV: 1 lease until, 2 worker, 3.. four a claim: id, attempt, token, progress or ''
-- From: running, finishing. To: the same. Events: none. Returns, for each claim: 'renewed' | 'lost' | 'cancel'
local answers = {}
for i = 3, #ARGV, 4 do
  local id = ARGV[i]
  local j = call('HMGET', job_key(id), 'state', 'attempt', 'token', 'worker', 'cancel', 'stop')
  local answer = 'lost'
  if j[2] == ARGV[i + 1] and j[3] == ARGV[i + 2] and j[4] == ARGV[2] then
    if j[1] == 'running' then
      local till = tonumber(ARGV[1])
      if tonumber(j[6]) > 0 then till = math.min(till, tonumber(j[6])) end
      call('ZADD', P .. ':leases', int(till), id)
      if ARGV[i + 3] ~= '' then call('HSET', job_key(id), 'progress', ARGV[i + 3]) end
      answer = j[5] and 'cancel' or 'renewed'
    elseif j[1] == 'finishing' then
      answer = 'renewed'
    end
  end
  answers[#answers + 1] = answer
end
return answers

-- A dispatcher gives reservations up: the jobs are ready again after a while, in their old order.
-- KEYS: slot. ARGV: 1 now, 2 waiting reason, 3 ready, 4.. pairs: id, reservation
-- From: queued (picked). To: queued. Events: none. Returns: how many
local now, count = ARGV[1], 0
for i = 4, #ARGV, 2 do
  local id = ARGV[i]
  local j = call('HMGET', job_key(id), 'state', 'at', 'reservation', 'pool', 'score')
  if j[1] == 'queued' and j[2] == 'picked' and j[3] == ARGV[i + 1] then
    call('ZREM', P .. ':picked', id)
    local at = 'due'
    if tonumber(ARGV[3]) > tonumber(now) then
      call('ZADD', P .. ':due', ARGV[3], id)
    else
      call('ZADD', P .. ':backlog:' .. j[4], j[5], id)
      at = 'backlog'
    end
    if at == 'due' and ARGV[2] == 'no_capable_worker' then call('SADD', P .. ':unwanted:' .. j[4], id) end
    call('HSET', job_key(id), 'at', at, 'reservation', '', 'reason', ARGV[2])
    count = count + 1
  end
end
return count

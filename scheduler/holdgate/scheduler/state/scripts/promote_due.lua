-- Jobs whose time has come go into the backlog; and a key that nobody holds lets its first parked job go.
-- KEYS: slot. ARGV: 1 now, 2 limit, 3 details
-- From: scheduled, queued (due, parked). To: queued. Events: job.queued for the scheduled ones.
-- Returns: id, pool, id, pool, ..
local now, answers = ARGV[1], {}
local due = call('ZRANGEBYSCORE', P .. ':due', '-inf', now, 'LIMIT', 0, ARGV[2])
for _, id in ipairs(due) do
  local j = call('HMGET', job_key(id), 'state', 'who', 'pool', 'boost', 'score', 'ready', 'reason')
  call('ZREM', P .. ':due', id)
  if j[7] == 'no_capable_worker' then call('SREM', P .. ':unwanted:' .. j[3], id) end
  -- A job that was put back keeps its old place; one that waited for its time stands where that time puts it.
  local score = j[5] or int(tonumber(j[6]) - tonumber(j[4]))
  call('SADD', P .. ':pools', j[3])
  call('ZADD', P .. ':backlog:' .. j[3], score, id)
  if j[1] == 'scheduled' then
    move(id, 'scheduled', 'queued', now, j[2], ARGV[3], 'at', 'backlog')
  else
    call('HSET', job_key(id), 'at', 'backlog')
  end
  answers[#answers + 1] = id
  answers[#answers + 1] = j[3]
end
for _, ckey in ipairs(call('ZRANGE', P .. ':parked', 0, 15)) do
  call('ZADD', P .. ':parked', now, ckey)
  if call('SCARD', P .. ':running:' .. ckey) == 0 then unpark(ckey) end
end
return answers

-- Jobs that nobody could do are ready again: somebody new is here. In their old order.
-- KEYS: slot. ARGV: 1 pool, 2 limit
-- From: queued (due). To: queued. Events: none. Returns: {how many were looked at, how many are ready}
local ids = call('SPOP', P .. ':unwanted:' .. ARGV[1], ARGV[2])
local moved = 0
for _, id in ipairs(ids) do
  local j = call('HMGET', job_key(id), 'state', 'at', 'reason', 'score')
  if j[1] == 'queued' and j[2] == 'due' and j[3] == 'no_capable_worker' then
    call('ZREM', P .. ':due', id)
    call('ZADD', P .. ':backlog:' .. ARGV[1], j[4], id)
    call('HSET', job_key(id), 'at', 'backlog')
    moved = moved + 1
  end
end
return {#ids, moved}

-- Reserves ready jobs of a pool for a dispatcher, as far as the tenant's in-flight limit goes.
-- KEYS: slot. ARGV: 1 pool, 2 n, 3 in-flight max, 4 reservation, 5 reserved until
-- From: queued. To: queued (reserved). Events: none.
-- Returns, for each: {id, job, payload, admission, decision, attempt, fail open, approval status, votes}
local pool, reservation, till = ARGV[1], ARGV[4], ARGV[5]
-- Running and reserved ones count; those that wait (also parked ones) never do.
local room = tonumber(ARGV[3]) - call('ZCARD', P .. ':state:running') - call('ZCARD', P .. ':picked')
local n = math.min(tonumber(ARGV[2]), room)
if n <= 0 then return {} end
local popped = call('ZPOPMIN', P .. ':backlog:' .. pool, n)
local answers = {}
for i = 1, #popped, 2 do
  local id = popped[i]
  local j = call('HMGET', job_key(id), 'job', 'payload', 'admission', 'decision', 'attempt', 'open', 'skip')
  call('ZADD', P .. ':picked', till, id)
  call('HSET', job_key(id), 'at', 'picked', 'reservation', reservation, 'score', popped[i + 1])
  local status = call('HGET', P .. ':approval:' .. id, 'status')
  local votes = status == 'released' and call('LRANGE', P .. ':votes:' .. id, 0, -1) or {}
  answers[#answers + 1] = {id, j[1], j[2], j[3], j[4], int(tonumber(j[5]) + tonumber(j[7] or 0) + 1), j[6] or '0', status or '', votes}
end
return answers

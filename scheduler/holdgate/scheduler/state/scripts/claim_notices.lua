-- New notices become deliveries, one for each webhook that wants them; those that are due are claimed for a while.
-- A claim is known by how often the delivery was claimed: who comes back with an older number has lost it.
-- KEYS: slot. ARGV: 1 now, 2 lease ms, 3 deliveries that one webhook may have waiting, 4 notices read at once,
--   5.. four a webhook: name, notices since, wanted kinds as `,a,b,`, how many to claim
-- From, to: none. Events: none.
-- Returns: one a webhook: {dropped, waiting, {seq, tries, notice, ...}}
local now, answers = tonumber(ARGV[1]), {}
-- Longer than a delivery is tried: of a webhook that is configured no more, nothing stays.
local KEPT_S = 172800
for i = 5, #ARGV, 4 do
  local name, since, wanted, room = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], tonumber(ARGV[i + 3])
  local cursors = P .. ':webhooks'
  local due, box, tries = P .. ':webhook_due:' .. name, P .. ':webhook_box:' .. name, P .. ':webhook_tries:' .. name
  local cursor = call('HGET', cursors, name) or '0-0'
  local dropped, added = 0, 0
  local found = call('XRANGE', P .. ':notices', '(' .. cursor, '+', 'COUNT', ARGV[4])
  for _, entry in ipairs(found) do
    cursor = entry[1]
    local n = {}
    for k = 1, #entry[2], 2 do n[entry[2][k]] = entry[2][k + 1] end
    if tonumber(n.at) >= since and string.find(wanted, ',' .. n.n .. ',', 1, true) then
      if call('ZCARD', due) >= tonumber(ARGV[3]) then
        dropped = dropped + 1
      else
        local seq = string.match(entry[1], '^%d+')
        call('ZADD', due, now, seq)
        call('HSET', box, seq, cmsgpack.pack({n.n, n.t, n.at, n.j, n.w, n.d}))
        added = added + 1
      end
    end
  end
  if #found > 0 then call('HSET', cursors, name, cursor) end
  local claimed = {}
  for _, seq in ipairs(call('ZRANGEBYSCORE', due, '-inf', ARGV[1], 'LIMIT', 0, room)) do
    local notice = call('HGET', box, seq)
    if notice then
      call('ZADD', due, int(now + tonumber(ARGV[2])), seq)
      claimed[#claimed + 1] = seq
      claimed[#claimed + 1] = call('HINCRBY', tries, seq, 1)
      claimed[#claimed + 1] = notice
    else
      call('ZREM', due, seq)
    end
  end
  if added > 0 or #claimed > 0 then
    for _, each in ipairs({due, box, tries}) do call('EXPIRE', each, KEPT_S) end
  end
  answers[#answers + 1] = {dropped, call('ZCARD', due), claimed}
end
return answers

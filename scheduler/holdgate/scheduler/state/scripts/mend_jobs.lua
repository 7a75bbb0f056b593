-- Jobs of the index of a state: each is there, in that state, and in its place; or is put there.
-- KEYS: slot. ARGV: 1 now, 2 mend (1) or look (0), 3 state, 4.. ids
-- From, to: any. Events: none. Returns: {ids that are in no record}, {ids that were in no place, or another one}
local now, mend, state = ARGV[1], ARGV[2] == '1', ARGV[3]
local strays, misplaced = {}, {}
local ZSET = {backlog = true, picked = true, due = true}

local function misses(id, j)
  if not call('ZSCORE', index_of(state), id) then return true end
  if ENDED[state] then
    return not (call('ZSCORE', ended_in(state), id) or call('ZSCORE', P .. ':sealed_due', id))
  elseif state == 'running' then
    return not call('ZSCORE', P .. ':leases', id)
  elseif state == 'held' then
    return not (call('ZSCORE', P .. ':approvals_due', id) and call('HEXISTS', P .. ':held', id) == 1)
  elseif state == 'queued' or state == 'scheduled' then
    local at = j[2] or ''
    local key = at == 'backlog' and P .. ':backlog:' .. j[3] or at == 'parked' and P .. ':parked:' .. (j[4] or '') or P .. ':' .. at
    return not ((ZSET[at] or at == 'parked') and call('ZSCORE', key, id))
  end
  return false
end

for i = 4, #ARGV do
  local id = ARGV[i]
  local j = call('HMGET', job_key(id), 'state', 'at', 'pool', 'ckey', 'boost', 'ready', 'who', 'ended', 'updated')
  if j[1] ~= state then
    if call('ZSCORE', index_of(state), id) then
      strays[#strays + 1] = id
      if mend then
        call('ZREM', index_of(state), id)
        if j[1] then call('ZADD', index_of(j[1]), 0, id) end
      end
    end
  elseif misses(id, j) then
    misplaced[#misplaced + 1] = id
    if mend then
      call('ZADD', index_of(state), 0, id)
      if ENDED[state] then
        if not call('ZSCORE', P .. ':sealed_due', id) then call('ZADD', ended_in(state), j[8] or j[9], id) end
      elseif state == 'running' then
        call('ZADD', P .. ':leases', 'NX', now, id)
      elseif state == 'held' then
        local a = call('HMGET', P .. ':approval:' .. id, 'expires', 'requirements', 'created')
        call('ZADD', P .. ':approvals_due', a[1] or now, id)
        if a[2] then call('HSET', P .. ':held', id, cmsgpack.pack({j[7], a[2], a[3]})) end
      else
        leave(id, j[2], j[3], j[4] or '')
        call('HSET', job_key(id), 'at', place(id, j[3], j[5], j[6] or now, now), 'reservation', '')
      end
    end
  end
end
return {strays, misplaced}

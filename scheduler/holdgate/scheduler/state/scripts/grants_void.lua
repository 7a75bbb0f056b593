-- The policy changed: what people granted under another one is no word on this one.
-- KEYS: slot. ARGV: 1 now, 2 snapshot in force
-- From: pending, active. To: void. Events: grant.void. Returns: how many
local now, snapshot, count_void = ARGV[1], ARGV[2], 0
for _, id in ipairs(call('ZRANGE', P .. ':grants_live', 0, -1)) do
  local given_under = call('HGET', P .. ':grant:' .. id, 'snapshot')
  if given_under ~= snapshot then
    end_grant(id, 'void', now, '', pack_details({grant_id = id, snapshot = snapshot, previous = given_under or ''}))
    count_void = count_void + 1
  end
end
return count_void

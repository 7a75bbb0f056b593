-- The log knows how these jobs ended. One that changed since is told of again.
-- KEYS: slot. ARGV: pairs: id, seq that was told
-- From, to: any. Events: none. Returns: how many are told of
local told = 0
for i = 1, #ARGV, 2 do
  local seq = call('ZSCORE', P .. ':unlogged', ARGV[i])
  if seq and tonumber(seq) == tonumber(ARGV[i + 1]) then
    call('ZREM', P .. ':unlogged', ARGV[i])
    told = told + 1
  end
end
-- Nothing is left to claim.
if call('EXISTS', P .. ':unlogged') == 0 then call('DEL', P .. ':unlogged_claim') end
return told

-- An audit event of a source that numbers its events from 1: written once, in their order.
-- KEYS: slot. ARGV: 1 type, 2 now, 3 details, 4 source, 5 number, 6 `1` where numbers before it may be lost,
-- 7 seconds for which the number of the source's newest event is kept
-- From, to: none. Returns: 1 written, 0 written before, -1 a number before it is missing
local told = P .. ':told:' .. ARGV[4]
local newest = tonumber(call('GET', told) or '0')
local number = tonumber(ARGV[5])
if number <= newest then
  call('EXPIRE', told, ARGV[7])
  return 0
end
if number > newest + 1 and ARGV[6] ~= '1' then return -1 end
call('SET', told, int(number), 'EX', ARGV[7])
audit(ARGV[1], ARGV[2], '', '', '', '', ARGV[3])
return 1

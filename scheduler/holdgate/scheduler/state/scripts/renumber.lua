-- The state was set back under the archive of its events: numbers go on behind what is archived, and events that took
-- numbers again come once more behind them. Nothing is changed but the number.
-- KEYS: slot. ARGV: 1 last archived number, 2 first number that is another event here, 3 now
-- From, to: none. Events: audit.resumed. Returns: how many have a new number.
local seq, stream, archived = P .. ':seq', P .. ':audit', tonumber(ARGV[1])
local foreign = call('XRANGE', stream, ARGV[2] .. '-0', ARGV[1] .. '-0')
local here = tonumber(call('GET', seq) or '0')
if here < archived then call('SET', seq, int(archived)) end
audit('audit.resumed', ARGV[3], '', '', '', '', pack_details({after = math.max(here, archived), renumbered = #foreign}))
for _, entry in ipairs(foreign) do
  call('XDEL', stream, entry[1])
  call('XADD', stream, int(call('INCR', seq)) .. '-0', unpack(entry[2]))
end
return #foreign

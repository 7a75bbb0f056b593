-- The state was set back under the archive of its events: numbers go on behind what is archived, and events that took
-- numbers again come once more behind them, with all that followed, in their order. Nothing is changed but the number.
-- KEYS: slot. ARGV: 1 last archived number, 2 first number that is another event here, 3 now
-- From, to: none. Events: audit.resumed. Returns: how many have a new number.
local seq, stream, archived, first = P .. ':seq', P .. ':audit', tonumber(ARGV[1]), tonumber(ARGV[2])
local here, moved = tonumber(call('GET', seq) or '0'), {}
if first <= archived then
  -- Where none is left under a taken number somebody was here before: what follows may be archived by now.
  if #call('XRANGE', stream, first .. '-0', int(archived) .. '-0', 'COUNT', 1) > 0 then
    moved = call('XRANGE', stream, first .. '-0', '+')
  end
end
if here >= archived and #moved == 0 then return 0 end
if here < archived then call('SET', seq, int(archived)) end
local details = {after = math.max(here, archived)}
if #moved > 0 then details.renumbered, details.of = #moved, first end
audit('audit.resumed', ARGV[3], '', '', '', '', pack_details(details))
for _, entry in ipairs(moved) do
  call('XDEL', stream, entry[1])
  call('XADD', stream, int(call('INCR', seq)) .. '-0', unpack(entry[2]))
end
return #moved

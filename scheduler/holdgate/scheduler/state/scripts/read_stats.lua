-- Counters of several steps of time. Counts of a step's minutes add up, of levels the highest stays, of replicas the last.
-- KEYS: slot. ARGV: 1 which counters (stats, health), 2 first minute, 3 minutes a step, 4 steps
-- From, to: any. Events: none. Returns for each step: name, number, name, number, …
local found, minute, a_step = {}, tonumber(ARGV[2]), tonumber(ARGV[3])
for step = 1, tonumber(ARGV[4]) do
  local totals, flat = {}, {}
  for _ = 1, a_step do
    local fields = call('HGETALL', P .. ':' .. ARGV[1] .. ':' .. int(minute))
    for at = 1, #fields, 2 do
      local name, number = fields[at], tonumber(fields[at + 1])
      local before = totals[name]
      if not before or name == 'replicas' then
        totals[name] = number
      elseif string.sub(name, 1, 6) == 'level:' then
        totals[name] = math.max(before, number)
      else
        totals[name] = before + number
      end
    end
    minute = minute + 1
  end
  for name, number in pairs(totals) do
    flat[#flat + 1] = name
    flat[#flat + 1] = int(number)
  end
  found[step] = flat
end
return found

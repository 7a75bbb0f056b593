-- What the state knows of endings in the log.
-- KEYS: slot. ARGV: five an ending: id, seq, state, attempt, status of the sealed output or ''
-- From, to: any. Events: none. Returns, for each: 'known' | 'behind' | 'missing'
local answers = {}
for i = 1, #ARGV, 5 do
  local knows = knows_ending(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
  answers[#answers + 1] = knows == nil and 'missing' or knows and 'known' or 'behind'
end
return answers

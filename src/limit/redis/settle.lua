-- Changes what was booked. KEYS: one a limit. ARGV: the strategy, then of each limit its period, what
-- to charge, what to give back, and where that was booked.

for at, key in ipairs(KEYS) do
  local counter = open(key, 0, ARGV[at * 4 - 2])
  local more, less = tonumber(ARGV[at * 4 - 1]), tonumber(ARGV[at * 4])
  if more > 0 then
    add(counter, more)
  end
  if less > 0 then
    take(counter, tonumber(ARGV[at * 4 + 1]), less)
  end
  close(counter, ends(counter))
end

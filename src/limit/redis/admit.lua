-- Charges every limit, or none. KEYS: one a limit. ARGV: the strategy, then amount, period and cost
-- of each limit. Gives: 1 or 0, the time, then of each limit: the wait, what is used, when that ends,
-- and where the cost was booked.

local counters, costs, waits, admitted = {}, {}, {}, 1
for at, key in ipairs(KEYS) do
  local counter = open(key, ARGV[at * 3 - 1], ARGV[at * 3])
  counters[at], costs[at] = counter, tonumber(ARGV[at * 3 + 1])
  waits[at] = wait(counter, costs[at])
  if waits[at] ~= 0 then
    admitted = 0
  end
end

local answer = { admitted, now }
for at, counter in ipairs(counters) do
  local booked = now
  if admitted == 1 and costs[at] > 0 then
    booked = add(counter, costs[at])
  end
  -- An elastic window begins anew with every call that it had to judge.
  local is_judge = costs[at] > 0 and (admitted == 1 or waits[at] > 0)
  if strategy == 'elastic' and is_judge then
    counter.ends = math.max(counter.ends, now + counter.period)
    if waits[at] > 0 then
      waits[at] = counter.ends - now
    end
  end
  local used, ends = counter.used, ends(counter)
  close(counter, ends)
  for _, value in ipairs({ waits[at], used, ends, booked }) do
    answer[#answer + 1] = value
  end
end
return answer

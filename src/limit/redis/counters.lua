-- One counter: the windows of src/limit/window.rs and src/limit/moving.rs, in microseconds of the
-- server's own clock, so that all nodes agree on what the time is. Both scripts begin with this.
--
-- A fixed window is a hash of began, ends and used. A moving one is a hash of used, of the numbers of
-- its oldest hit and of the next one, whether hits go into bins, and one field a hit: its end, and
-- what it cost. What is written with `..` must be text: numbers lose their last digits there.

local EXACT, BINS, NEVER = 256, 256, -1

local strategy = ARGV[1]
local moving = strategy == 'moving'
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function text(number)
  return string.format('%.0f', number)
end

local function hit(counter, number)
  local ends, cost = string.match(redis.call('HGET', counter.key, text(number)), '(%d+) (%d+)')
  return tonumber(ends), tonumber(cost)
end

local function put(counter, number, ends, cost)
  redis.call('HSET', counter.key, text(number), text(ends) .. ' ' .. text(cost))
end

-- Drops the hits that count no longer, and with the last of them the bins.
local function forget(counter)
  while counter.first < counter.next do
    local ends, cost = hit(counter, counter.first)
    if now < ends + counter.period then
      return
    end
    redis.call('HDEL', counter.key, text(counter.first))
    counter.first = counter.first + 1
    counter.used = counter.used - cost
  end
  counter.binned = 0
end

local function open(key, amount, period)
  local counter = { key = key, amount = tonumber(amount), period = tonumber(period) }
  if moving then
    local kept = redis.call('HMGET', key, 'used', 'first', 'next', 'binned')
    counter.used, counter.first = tonumber(kept[1] or 0), tonumber(kept[2] or 0)
    counter.next, counter.binned = tonumber(kept[3] or 0), tonumber(kept[4] or 0)
    forget(counter)
  else
    local kept = redis.call('HMGET', key, 'used', 'began', 'ends')
    counter.used = tonumber(kept[1] or 0)
    counter.began, counter.ends = tonumber(kept[2] or 0), tonumber(kept[3] or 0)
    if now >= counter.ends then
      counter.used, counter.began, counter.ends = 0, now, 0
    end
  end
  return counter
end

-- When nothing of it will count any longer.
local function ends(counter)
  if not moving then
    return counter.ends
  end
  -- What was given back in full counts no longer.
  for number = counter.next - 1, counter.first, -1 do
    local newest, cost = hit(counter, number)
    if cost > 0 then
      return newest + counter.period
    end
  end
  return 0
end

local function close(counter, ends)
  local key = counter.key
  if ends <= now then
    redis.call('DEL', key)
    return
  elseif moving then
    redis.call('HSET', key, 'used', text(counter.used), 'first', text(counter.first),
      'next', text(counter.next), 'binned', counter.binned)
  else
    redis.call('HSET', key, 'used', text(counter.used), 'began', text(counter.began),
      'ends', text(counter.ends))
  end
  redis.call('PEXPIREAT', key, text(math.ceil(ends / 1000) + 1))
end

-- How long until the cost can be admitted, if nobody else comes.
local function wait(counter, cost)
  if cost > counter.amount then
    return NEVER
  end
  local excess = counter.used + cost - counter.amount
  if cost == 0 or excess <= 0 then
    return 0
  end
  if not moving then
    return counter.ends - now
  end
  for number = counter.first, counter.next - 1 do
    local ends, cost = hit(counter, number)
    excess = excess - cost
    if excess <= 0 then
      return ends + counter.period - now
    end
  end
end

local function bin_end(counter, time)
  local length = math.max(1, math.floor(counter.period / BINS))
  return math.ceil(time / length) * length
end

-- A hit of the same moment, or in the same bin, is added to the last one.
local function push(counter, time, cost)
  if counter.first < counter.next then
    local newest, spent = hit(counter, counter.next - 1)
    if newest >= time then
      put(counter, counter.next - 1, newest, spent + cost)
      return newest
    end
  end
  put(counter, counter.next, time, cost)
  counter.next = counter.next + 1
  return time
end

-- From exact times to bins.
local function bin(counter)
  local first, next = counter.first, counter.next
  local hits = {}
  for number = first, next - 1 do
    hits[#hits + 1] = { hit(counter, number) }
    redis.call('HDEL', counter.key, text(number))
  end
  counter.first, counter.next, counter.binned = 0, 0, 1
  for _, one in ipairs(hits) do
    push(counter, bin_end(counter, one[1]), one[2])
  end
end

-- Charges; gives where it was booked.
local function add(counter, cost)
  counter.used = counter.used + cost
  if not moving then
    if counter.ends == 0 then
      counter.ends = now + counter.period
    end
    return counter.began
  end
  if counter.binned == 0 and counter.next - counter.first >= EXACT then
    bin(counter)
  end
  if counter.binned == 1 then
    return push(counter, bin_end(counter, now), cost)
  end
  return push(counter, now, cost)
end

-- Gives back what was booked, if it still counts.
local function take(counter, booked, cost)
  if not moving then
    if counter.began == booked and counter.ends ~= 0 then
      counter.used = math.max(0, counter.used - cost)
    end
    return
  end
  if booked + counter.period <= now then
    return
  end
  -- The first hit that ends there or later.
  local low, high = counter.first, counter.next
  while low < high do
    local middle = math.floor((low + high) / 2)
    if hit(counter, middle) < booked then
      low = middle + 1
    else
      high = middle
    end
  end
  if low < counter.next then
    local ends, spent = hit(counter, low)
    local back = math.min(spent, cost)
    put(counter, low, ends, spent - back)
    counter.used = counter.used - back
  end
end

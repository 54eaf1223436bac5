-- A sliding window, estimated from two periods; see window.rs. KEYS[1]: the key. ARGV: cost, limit, period in
-- microseconds. Answers whether it was allowed, both counts, and the time since the period began.
local cost, limit, period = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local start = now - now % period
local kept = redis.call('HMGET', KEYS[1], 'start', 'current', 'previous')
local current, previous = 0, 0
if kept[1] then
    local last = tonumber(kept[1])
    if last >= start then
        -- After the present one only if the clock went back.
        start, current, previous = last, tonumber(kept[2]), tonumber(kept[3])
    elseif last == start - period then
        previous = tonumber(kept[2])
    end
end
local elapsed = math.max(0, now - start)
local allowed = limit - current - math.ceil(previous * (period - elapsed) / period) >= cost
if allowed then
    current = current + cost
    redis.call('HSET', KEYS[1], 'start', start, 'current', current, 'previous', previous)
    redis.call('PEXPIRE', KEYS[1], math.ceil((2 * period - elapsed) / 1000))
end
return { allowed and 1 or 0, previous, current, elapsed }

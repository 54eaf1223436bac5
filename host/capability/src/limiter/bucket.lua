-- A token bucket. KEYS[1]: the key. ARGV: cost, burst, tokens per microsecond.
-- Kept is how many tokens there were, and when; a bucket that is full again is not kept.
local cost, burst, speed = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = burst
if kept[1] then
    tokens = math.min(burst, kept[1] + math.max(0, now - kept[2]) * speed)
end
-- The tolerance is for what fractions lose.
local allowed = tokens + 1e-6 >= cost
if allowed then
    tokens = math.max(0, tokens - cost)
    redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at', string.format('%.0f', now))
    redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens) / speed / 1000) + 1)
end
-- As text: numbers in answers lose their fraction.
return { allowed and 1 or 0, string.format('%.17g', tokens) }

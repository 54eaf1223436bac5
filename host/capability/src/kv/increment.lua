-- KEYS[1]: the key. ARGV: what to add, the time to live in milliseconds or 0 if the key is new.
local is_new = redis.call('EXISTS', KEYS[1]) == 0
redis.call('INCRBY', KEYS[1], ARGV[1])
if is_new and ARGV[2] ~= '0' then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
-- As text: a number of Lua has only 53 bits.
return redis.call('GET', KEYS[1])

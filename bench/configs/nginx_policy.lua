-- nginx's policy: token (HS256, by libcrypto), its end, a limit for each user, credits; all in shared memory.
-- A Python template: a doubled dollar stands for one.

local ffi = require("ffi")
local json = require("cjson.safe")

ffi.cdef[[
const void *EVP_sha256(void);
unsigned char *HMAC(const void *md, const void *key, int key_size, const unsigned char *data, size_t size,
                    unsigned char *out, unsigned int *out_size);
int CRYPTO_memcmp(const void *a, const void *b, size_t size);
]]

local crypto = ffi.load("crypto.so.3")
local sha256 = crypto.EVP_sha256()
local secret = "$secret"
local mac, mac_size = ffi.new("unsigned char[32]"), ffi.new("unsigned int[1]")
local limits, credits = ngx.shared.limits, ngx.shared.credits
local good_heads = {}

local function base64url(text)
  text = text:gsub("[-_]", {["-"] = "+", _ = "/"})
  return ngx.decode_base64(text .. ("="):rep(-#text % 4))
end

-- Heads of tokens are few, so what is in them is looked at once.
local function is_good_head(head)
  if good_heads[head] == nil then
    local values = json.decode(base64url(head) or "")
    good_heads[head] = values and values.alg == "HS256" or false
  end
  return good_heads[head]
end

local function verify(field)
  if not field or field:sub(1, 7) ~= "Bearer " then return end
  local first = field:find(".", 8, true)
  local second = first and field:find(".", first + 1, true)
  if not second or not is_good_head(field:sub(8, first - 1)) then return end

  local signed, signature = field:sub(8, second - 1), base64url(field:sub(second + 1))
  crypto.HMAC(sha256, secret, #secret, signed, #signed, mac, mac_size)
  if not signature or #signature ~= 32 or crypto.CRYPTO_memcmp(mac, signature, 32) ~= 0 then return end

  local claims = json.decode(base64url(field:sub(first + 1, second - 1)) or "")
  if claims and claims.sub and claims.exp and claims.exp >= ngx.time() then return claims.sub end
end

function policy()
  local user = verify(ngx.var.http_authorization)
  if not user then return ngx.exit(401) end

  local count = limits:incr(user, 1, 0, 1)
  if count and count > $rate_limit then return ngx.exit(429) end

  local left = credits:incr(user, -1, $credits)
  if left and left < 0 then
    credits:incr(user, 1)
    return ngx.exit(402)
  end
end

-- auth.lua: who is calling. The rules for tokens stand here, so that the tests hold whatever the configuration says.

local tests = {}

local function authenticated(t, settings, rules) return t.policy("auth.lua", settings, {auth = rules or {}}) end

-- The outcome for a token with these claims.
local function with(t, claims, rules) return authenticated(t, nil, rules):on_request{token = claims} end

local function refused(t, outcome, reason)
  t.refuses(outcome, "UNAUTHORIZED", {reason = reason})
  t.equal(outcome.status, 401)
  t.equal(outcome.ctx, {})
  t.equal(outcome.service_headers, {})
end

-- Who it is

function tests.a_token_says_who_is_calling(t)
  local outcome = with(t, {sub = "ann", role = "admin", exp = 9999999999})
  t.passes(outcome)
  t.equal(outcome.ctx, {user = "ann", roles = {"admin"}, expires = 9999999999})
  t.equal(outcome.service_headers, {["x-user-id"] = "ann"})
end

function tests.who_has_no_role_is_a_user(t)
  t.equal(with(t, {sub = "ann"}).ctx.roles, {"user"})
end

function tests.several_roles_keep_their_order(t)
  t.equal(with(t, {sub = "ann", roles = {"editor", "admin"}}).ctx.roles, {"editor", "admin"})
end

function tests.other_claims_may_name_the_user(t)
  t.equal(with(t, {userId = "ann"}).ctx.user, "ann")
  t.equal(with(t, {id = "ann"}).ctx.user, "ann")
  t.equal(with(t, {sub = "ann", userId = "bob"}).ctx.user, "ann", "the first one that is there")
end

function tests.the_rules_say_which_claims_count(t)
  local rules = {claims = {user = "email", roles = {"groups"}}}
  local outcome = with(t, {email = "ann@example.com", sub = "x", groups = {"admin"}, role = "user"}, rules)
  t.equal(outcome.ctx.user, "ann@example.com")
  t.equal(outcome.ctx.roles, {"admin"})
  refused(t, with(t, {sub = "ann"}, rules), "no user")
end

function tests.an_api_key_is_a_token_too(t)
  local outcome = authenticated(t):on_request{headers = {["X-API-Key"] = t.token{sub = "ann"}}}
  t.passes(outcome)
  t.equal(outcome.ctx.user, "ann")
end

function tests.the_scheme_is_read_whatever_its_case(t)
  local policy = authenticated(t)
  local token = t.token{sub = "ann"}
  t.passes(policy:on_request{headers = {authorization = "bearer " .. token}})
  t.passes(policy:on_request{headers = {Authorization = "BEARER  " .. token}})
end

-- Who it is not

function tests.without_a_credential(t)
  refused(t, authenticated(t):on_request{}, "no credential")
end

function tests.another_scheme_is_no_token(t)
  refused(t, authenticated(t):on_request{headers = {authorization = "Basic YW5uOnNlY3JldA=="}}, "unsupported scheme")
end

function tests.one_credential_twice_is_one(t)
  local token = t.token{sub = "ann"}
  t.passes(authenticated(t):on_request{token = token, headers = {["x-api-key"] = token}})
end

function tests.two_credentials_are_one_too_many(t)
  local request = {token = {sub = "ann"}, headers = {["x-api-key"] = t.token{sub = "bob"}}}
  refused(t, authenticated(t):on_request(request), "two credentials")
end

function tests.what_is_no_token(t)
  local policy = authenticated(t)
  for _, text in ipairs{"x", "a.b", "a.b.c", "a.b.c.d", string.rep("a", 200)} do
    refused(t, policy:on_request{token = text}, "malformed")
  end
  refused(t, policy:on_request{token = string.rep("a", 9000)}, "too long")
end

function tests.a_token_of_somebody_else(t)
  local other = t.token({sub = "ann"}, "another secret that is at least 32 bytes long")
  refused(t, authenticated(t):on_request{token = other}, "bad signature")
end

function tests.a_changed_token(t)
  local head, body, signature = string.match(t.token{sub = "ann"}, "^(.-)%.(.-)%.(.*)$")
  local claims = edge.json.decode(edge.crypto.unbase64url(body))
  claims.sub = "root"
  local changed = head .. "." .. edge.crypto.base64url(edge.json.encode(claims)) .. "." .. signature
  refused(t, authenticated(t):on_request{token = changed}, "bad signature")
end

function tests.a_token_without_a_signature(t)
  local head = edge.crypto.base64url('{"alg":"none"}')
  local body = edge.crypto.base64url('{"sub":"ann","exp":99999999999}')
  local outcome = authenticated(t):on_request{token = head .. "." .. body .. "."}
  t.refuses(outcome, "UNAUTHORIZED")
  t.equal(outcome.ctx, {})
end

function tests.nobody_in_the_token(t)
  refused(t, with(t, {role = "admin"}), "no user")
  refused(t, with(t, {sub = ""}), "bad user")
  refused(t, with(t, {sub = "ann", roles = {1}}), "bad roles")
end

-- When

function tests.a_token_ends(t)
  local policy = authenticated(t)
  local token = t.token{sub = "ann", exp = math.floor(t.now()) + 100}
  t.passes(policy:on_request{token = token})
  t.sleep(100)
  t.passes(policy:on_request{token = token})
  t.sleep(31)
  refused(t, policy:on_request{token = token}, "expired")
end

function tests.the_leeway_is_as_long_as_it_says(t)
  local past = math.floor(t.now()) - 60
  refused(t, with(t, {sub = "ann", exp = past}), "expired")
  refused(t, with(t, {sub = "ann", exp = past}, {leeway = 0}), "expired")
  t.passes(with(t, {sub = "ann", exp = past}, {leeway = 120}))
end

function tests.a_token_begins(t)
  local policy = authenticated(t)
  local token = t.token{sub = "ann", nbf = math.floor(t.now()) + 100}
  refused(t, policy:on_request{token = token}, "not yet valid")
  t.sleep(101)
  t.passes(policy:on_request{token = token})
end

function tests.a_token_without_an_end(t)
  refused(t, with(t, {sub = "ann", exp = false}), "no expiry")
  local outcome = with(t, {sub = "ann", exp = false}, {require_exp = false})
  t.passes(outcome)
  t.equal(outcome.ctx.expires, nil)
end

-- WebSockets

local function opened(t, request)
  request.upgrade = true
  return authenticated(t):on_request(request)
end

function tests.a_websocket_keeps_who_opened_it_and_until_when(t)
  local outcome = opened(t, {token = {sub = "ann", exp = 9999999999}})
  t.passes(outcome)
  t.equal(outcome.facts, {user = "ann", roles = {"user"}, expires = 9999999999})
end

function tests.browsers_put_the_token_where_they_can(t)
  local token = t.token{sub = "ann"}
  for _, request in ipairs{
    {query_token = token},
    {headers = {["Sec-WebSocket-Protocol"] = "Bearer, " .. token}},
    {headers = {["Sec-WebSocket-Protocol"] = {"Bearer", token}}},
    {headers = {["Sec-WebSocket-Protocol"] = "Bearer " .. token}},
    {query_token = token, token = token},
  } do
    local outcome = opened(t, request)
    t.passes(outcome)
    t.equal(outcome.ctx.user, "ann")
  end
end

function tests.in_other_requests_those_places_count_for_nothing(t)
  local headers = {["sec-websocket-protocol"] = "Bearer, " .. t.token{sub = "ann"}}
  refused(t, authenticated(t):on_request{headers = headers}, "no credential")
end

function tests.all_places_must_say_the_same(t)
  refused(t, opened(t, {query_token = {sub = "ann"}, token = {sub = "bob"}}), "two credentials")
  local protocol = {["sec-websocket-protocol"] = "Bearer, " .. t.token{sub = "bob"}}
  refused(t, opened(t, {query_token = {sub = "ann"}, headers = protocol}), "two credentials")
end

-- For whom, by whom

function tests.the_issuer_must_be_the_one(t)
  local rules = {issuer = "https://id.example.com"}
  t.passes(with(t, {sub = "ann"}, rules))
  refused(t, with(t, {sub = "ann", iss = "https://elsewhere.example.com"}, rules), "wrong issuer")
  refused(t, with(t, {sub = "ann", iss = false}, rules), "wrong issuer")
end

function tests.the_audience_must_be_among_them(t)
  local rules = {audience = {"edge", "other"}}
  t.passes(with(t, {sub = "ann", aud = "other"}, rules))
  t.passes(with(t, {sub = "ann", aud = {"x", "edge"}}, rules))
  refused(t, with(t, {sub = "ann", aud = "x"}, rules), "wrong audience")
  refused(t, with(t, {sub = "ann", aud = false}, rules), "wrong audience")
end

function tests.every_secret_verifies(t)
  local first, second = string.rep("a", 32), string.rep("b", 32)
  local policy = authenticated(t, nil, {secret = {first, second}})
  t.passes(policy:on_request{token = t.token({sub = "ann"}, first)})
  t.passes(policy:on_request{token = t.token({sub = "ann"}, second)})
  refused(t, policy:on_request{token = t.token({sub = "ann"}, string.rep("c", 32))}, "bad signature")
end

-- What the service learns

function tests.clients_cannot_say_who_they_are(t)
  local outcome = authenticated(t):on_request{token = {sub = "ann"}, headers = {["X-User-Id"] = "root"}}
  t.equal(outcome.service_headers, {["x-user-id"] = "ann"})
end

function tests.another_header_names_the_user(t)
  local outcome = authenticated(t, {user_header = "X-Caller"}):on_request{token = {sub = "ann"}}
  t.equal(outcome.service_headers, {["x-caller"] = "ann"})
end

function tests.or_none_does(t)
  local outcome = authenticated(t, {user_header = false}):on_request{token = {sub = "ann"}}
  t.passes(outcome)
  t.equal(outcome.ctx.user, "ann")
  t.equal(outcome.service_headers, {})
end

function tests.a_header_that_is_none_is_found_at_the_start(t)
  for _, wrong in ipairs{1, true, {"x-user-id"}, "", "x user id", "x-user:", "x-user\n", "x-ünser"} do
    t.fails(function() authenticated(t, {user_header = wrong}) end, "user_header must be the name of a header")
  end
end

function tests.words_that_mean_none_are_found_too(t)
  for _, wrong in ipairs{"no", "off", "none", "None"} do
    t.fails(function() authenticated(t, {user_header = wrong}) end, "write false for none")
  end
end

function tests.an_unknown_setting_is_found_at_the_start(t)
  t.fails(function() authenticated(t, {user_heder = "x-user"}) end, "unknown setting 'user_heder'")
end

return tests

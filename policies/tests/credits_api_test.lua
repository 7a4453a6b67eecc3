-- credits_api.lua: balance, history and grant, by the last word of the path.

local tests = {}

local function api(t, options) return t.policy("credits_api.lua", nil, options) end

local function get(user, word, query) return {path = "/api/credits/" .. word, query = query, ctx = {user = user}} end

local function grant(body, user)
  return {
    method = "POST", path = "/api/credits/grant", permission = "credits:grant", ctx = {user = user or "root"},
    json = type(body) == "table" and body or nil, body = type(body) == "string" and body or nil,
  }
end

local function with(body, more)
  local all = {userId = "ann", credits = 1}
  for name, value in pairs(body) do all[name] = value end
  for name, value in pairs(more or {}) do all[name] = value end
  return grant(all)
end

-- Which it is

function tests.the_path_says_which(t)
  local handler = api(t)
  t.replies(handler:handle(get("ann", "balance")), 200)
  t.replies(handler:handle{path = "/v2/history", ctx = {user = "ann"}}, 200)
  for _, path in ipairs{"/api/credits", "/", "/api/credits/balance/x", "/api/credits/balances"} do
    t.refuses(handler:handle{path = path, ctx = {user = "ann"}}, "NOT_FOUND")
  end
  t.refuses(handler:handle{method = "POST", path = "/balance", ctx = {user = "ann"}}, "NOT_FOUND")
  t.refuses(handler:handle(get("ann", "grant")), "NOT_FOUND")
end

function tests.it_stands_behind_auth(t)
  for _, word in ipairs{"balance", "history", "grant"} do
    t.fails(api(t):handle{path = "/api/credits/" .. word}, "stands behind auth")
  end
end

-- Balance

function tests.balances_are_decimal_numbers(t)
  local answer = api(t, {credits = {ann = "1000.000000001"}}):handle(get("ann", "balance"))
  t.replies(answer, 200)
  t.contains(answer.body, '"balance":1000.000000001')
  t.contains(answer.body, '"held":0')
  t.equal(answer.json.userId, "ann")
  t.equal(answer.json.available, 1000.000000001)
end

function tests.a_new_account_has_nothing(t)
  local answer = api(t, {credits = {bob = 5}}):handle(get("ann", "balance"))
  t.equal(answer.json, {userId = "ann", balance = 0, held = 0, available = 0})
end

function tests.without_a_ledger_there_is_no_answer(t)
  for _, word in ipairs{"balance", "history"} do
    local request = get("ann", word)
    request.ledger = "unavailable"
    t.refuses(api(t):handle(request), "SERVICE_UNAVAILABLE")
  end
end

-- History

function tests.entries_stand_newest_first(t)
  local handler = api(t, {
    credits = {ann = 10, bob = 1},
    charges = {
      {
        account = "ann", credits = "0.03", request = "request-1", provider = "openai", model = "gpt-4",
        usage = {inputTokens = 800, outputTokens = 200, cachedTokens = 100},
      },
      {account = "bob", credits = 1},
    },
  })
  t.replies(handler:handle(grant{userId = "ann", credits = "2.5", reason = "welcome"}), 200)
  local answer = handler:handle(get("ann", "history"))
  t.replies(answer, 200)
  t.equal(#answer.json.entries, 3)
  t.equal(answer.json.next, nil)
  local granted, charged, initial = table.unpack(answer.json.entries)
  t.equal({granted.kind, granted.credits, granted.balance}, {"grant", 2.5, 12.47})
  t.equal(granted.usage, nil)
  t.equal({charged.kind, charged.credits, charged.balance}, {"settlement", -0.03, 9.97})
  t.equal({charged.requestId, charged.provider, charged.model}, {"request-1", "openai", "gpt-4"})
  t.equal(charged.usage, {
    source = "reported", inputTokens = 800, cachedTokens = 100, cacheWriteTokens = 0, outputTokens = 200,
    reasoningTokens = 0,
  })
  t.equal({initial.kind, initial.credits, initial.balance}, {"initial", 10, 10})
  t.equal(initial.provider, nil)
  t.equal(#initial.id, 26)
  t.equal(string.gsub(initial.timestamp, "%d", "0"), "0000-00-00T00:00:00.000Z")
end

function tests.an_account_without_entries_has_an_empty_list(t)
  local answer = api(t):handle(get("ann", "history"))
  t.equal(answer.body, '{"entries":[]}')
end

function tests.pages_follow_each_other(t)
  local handler = api(t)
  for credits = 1, 5 do t.replies(handler:handle(grant{userId = "ann", credits = credits}), 200) end
  t.replies(handler:handle(grant{userId = "bob", credits = 1}), 200)
  local seen, query = {}, "limit=2"
  for _ = 1, 3 do
    local page = handler:handle(get("ann", "history", query)).json
    for _, entry in ipairs(page.entries) do seen[#seen + 1] = entry.credits end
    query = page.next and "limit=2&cursor=" .. page.next
  end
  t.equal(query, nil, "the last page says that it is the last")
  t.equal(seen, {5, 4, 3, 2, 1})
end

function tests.a_page_has_fifty_entries_and_at_most_two_hundred(t)
  local handler = api(t)
  for _ = 1, 201 do handler:handle(grant{userId = "ann", credits = 1}) end
  t.equal(#handler:handle(get("ann", "history")).json.entries, 50)
  local page = handler:handle(get("ann", "history", "limit=200")).json
  t.equal(#page.entries, 200)
  t.equal(#handler:handle(get("ann", "history", "cursor=" .. page.next)).json.entries, 1)
end

function tests.limits_and_cursors_that_are_none(t)
  local handler = api(t)
  for _, limit in ipairs{"0", "201", "-1", "1.5", "1e1", "0x10", "ten", "", "%31%30%20", "99999999999999999999"} do
    t.refuses(handler:handle(get("ann", "history", "limit=" .. limit)), "INVALID_REQUEST")
  end
  for _, cursor in ipairs{"0", "-1", "x", "", "1.0", "99999999999999999999"} do
    t.refuses(handler:handle(get("ann", "history", "cursor=" .. cursor)), "INVALID_REQUEST")
  end
  t.replies(handler:handle(get("ann", "history", "limit=1&cursor=9223372036854775807")), 200)
end

-- Grant

function tests.credits_are_given(t)
  local answer = api(t, {credits = {ann = "0.5"}}):handle(grant{userId = "ann", credits = 12.25})
  t.replies(answer, 200)
  t.equal({answer.json.creditsGranted, answer.json.balance}, {12.25, 12.75})
  t.equal(#answer.json.transactionId, 26)
  t.equal(answer.credits, {ann = "12.75"})
end

function tests.numbers_and_texts_are_exact(t)
  for text, credits in pairs{
    ["0.1"] = "0.1", ["1e-9"] = "0.000000001", ["1e3"] = "1000", ["1000000000"] = "1000000000", ["3.0"] = "3",
    ["999999999.999999999"] = "999999999.999999999", ["123456789.123456789"] = "123456789.123456789",
    ['"0.123456789"'] = "0.123456789", ['"007.50"'] = "7.5", ['"123456789.123456789"'] = "123456789.123456789",
  } do
    local outcome = api(t):handle(grant('{"userId":"ann","credits":' .. text .. "}"))
    t.replies(outcome, 200)
    t.equal(outcome.credits, {ann = credits}, text)
  end
end

function tests.amounts_that_are_none(t)
  for _, text in ipairs{
    "0", "-1", "-0.5", '"-1"', '""', '"1e3"', '"1,5"', '"."', '"0.0000000001"', "0.0000000001", "1e-10", "1e400",
    "1000000001", "1000000000.5", "1000000000.000000001", "0.30000000000000004",
    "null", "true", "{}", "[1]", '"0"', '"99999999999"',
  } do
    local outcome = api(t):handle(grant('{"userId":"ann","credits":' .. text .. "}"))
    t.refuses(outcome, "INVALID_REQUEST")
    t.contains(outcome.message, "credits", text)
    t.equal(outcome.credits, nil, "nothing was given")
  end
  t.refuses(api(t):handle(grant{userId = "ann"}), "INVALID_REQUEST")
end

function tests.bodies_that_are_none(t)
  for _, body in ipairs{
    "", "{", "[]x", "1", "null", '"text"', "[1]", '["userId"]', "{}", '{"userId":"ann"}', '{"credits":1}',
    '{"userId":"ann","credits":1,"credits":2}', '{"userId":"ann","credits":1,"amount":2}',
    '{"userid":"ann","credits":1}', '{"userId":"","credits":1}', '{"userId":7,"credits":1}',
    '{"userId":null,"credits":1}', '{"userId":["ann"],"credits":1}',
  } do
    local outcome = api(t):handle(grant(body))
    t.refuses(outcome, "INVALID_REQUEST")
    t.equal(outcome.credits, nil, body)
  end
  t.refuses(api(t):handle{
    method = "POST", path = "/grant", permission = "credits:grant", ctx = {user = "root"},
  }, "INVALID_REQUEST")
end

function tests.texts_that_are_too_long(t)
  local long = string.rep("x", 257)
  t.refuses(api(t):handle(with{userId = long}), "INVALID_REQUEST")
  t.refuses(api(t):handle(with{idempotencyKey = long}), "INVALID_REQUEST")
  t.refuses(api(t):handle(with{idempotencyKey = ""}), "INVALID_REQUEST")
  t.refuses(api(t):handle(with{reason = string.rep("x", 1025)}), "INVALID_REQUEST")
  t.replies(api(t):handle(with{userId = string.rep("x", 256), reason = string.rep("x", 1024)}), 200)
end

function tests.a_key_makes_it_once(t)
  local handler = api(t)
  local first = handler:handle(with{idempotencyKey = "k", reason = "welcome"})
  t.replies(first, 200)
  local again = handler:handle(with{idempotencyKey = "k", reason = "welcome"})
  t.equal(again.json, first.json)
  t.equal(again.credits, {ann = "1"})
  for _, other in ipairs{{userId = "bob"}, {credits = 2}, {reason = "other"}} do
    local refused = handler:handle(with({idempotencyKey = "k", reason = "welcome"}, other))
    t.refuses(refused, "CONFLICT")
    t.equal(refused.status, 409)
    t.equal(refused.credits.ann, "1")
  end
  t.refuses(handler:handle(with{idempotencyKey = "k"}), "CONFLICT")
  t.replies(handler:handle(with{idempotencyKey = "l", reason = "welcome"}), 200)
  t.replies(handler:handle(with{}), 200)
  t.equal(handler:handle(with{}).credits, {ann = "4"}, "without a key each one counts")
end

function tests.more_than_can_be_counted(t)
  local handler = api(t, {credits = {ann = "9223372036"}})
  for _, body in ipairs{with{}, with{idempotencyKey = "k"}} do
    local refused = handler:handle(body)
    t.refuses(refused, "INVALID_REQUEST")
    t.contains(refused.message, "credits")
    t.equal(refused.credits, {ann = "9223372036"})
  end
end

function tests.users_that_no_token_names(t)
  for _, user in ipairs{" ann", "ann ", "a\nb", "a\0", "\u{85}"} do
    local refused = api(t):handle(with{userId = user})
    t.refuses(refused, "INVALID_REQUEST")
    t.contains(refused.message, "userId")
    t.equal(refused.credits, nil, "nothing was given")
  end
end

function tests.a_grant_needs_a_permission(t)
  local request = grant{userId = "ann", credits = 1}
  request.permission = nil
  local outcome = api(t):handle(request)
  t.fails(outcome, "has no 'permission'")
  t.equal(outcome.credits, nil)
end

function tests.it_is_a_handler_and_nothing_else(t)
  t.fails(function() api(t):on_request{} end, "no on_request")
end

return tests

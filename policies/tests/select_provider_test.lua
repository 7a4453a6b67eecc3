-- select_provider.lua: in which order those who could answer are asked.

local tests = {}

-- Candidates in the order of the letters, each with what is said of it.
local function order(t, ...)
  local candidates = {}
  for index, candidate in ipairs{...} do
    candidate.provider, candidate.model, candidate.estimate = string.char(96 + index), "m", 1
    candidates[index] = candidate
  end
  local outcome = t.policy("select_provider.lua"):on_select{candidates = candidates}
  t.passes(outcome)
  return table.concat(outcome.order)
end

function tests.equals_stay_as_they_are(t)
  t.equal(order(t, {}, {}, {}, {}, {}, {}, {}, {}), "abcdefgh")
  t.equal(order(t, {}), "a")
end

function tests.the_lower_load_comes_first(t)
  t.equal(order(t, {load = 2}, {load = 0}, {load = 1}, {load = 0}), "bdca")
end

function tests.priority_counts_before_load(t)
  t.equal(order(t, {priority = 2, load = 0}, {priority = 1, load = 9}, {priority = 0, load = 1000}), "cba")
end

function tests.the_model_itself_counts_before_priority(t)
  t.equal(order(t, {equivalent = true, priority = 0}, {priority = 5, load = 7}), "ba")
  t.equal(order(t, {equivalent = true, load = 3}, {equivalent = true, load = 1}, {load = 9}), "cba")
end

function tests.who_is_named_comes_first(t)
  t.equal(order(t, {}, {priority = 0}, {named = true, equivalent = true, priority = 9, load = 99}), "cba")
end

function tests.nobody_is_left_out(t)
  t.equal(#order(t, {named = true}, {equivalent = true}, {load = 4}, {priority = 3}, {load = 4}, {}), 6)
end

function tests.a_service_is_all_there_is(t)
  local outcome = t.policy("select_provider.lua"):on_select{candidates = {{service = "pictures", estimate = 1}}}
  t.passes(outcome)
  t.equal(outcome.order, {"pictures"})
end

function tests.it_holds_nothing(t)
  local outcome = t.policy("select_provider.lua", nil, {credits = {ann = 5}}):on_select{
    ctx = {user = "ann"}, candidates = {{provider = "a", model = "m", estimate = 1}},
  }
  t.equal(outcome.held, nil)
  t.equal(outcome.credits, {ann = "5"})
end

return tests

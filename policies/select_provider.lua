-- Who answers: the first in this order, and the next one when it fails.
--
-- First whom the client has named, then who has the model itself before who has an equivalent of it, then the lower
-- priority, then who is answering fewer requests now. Among equals, the order of the configuration stays.
--
-- Stands before credits, which holds what the first one may cost.

local policy = {}

-- Each says what counts, the lowest first.
local marks = {
  function(candidate) return candidate.named and 0 or 1 end,
  function(candidate) return candidate.equivalent and 1 or 0 end,
  function(candidate) return candidate.priority end,
  function(candidate) return candidate.load end,
}

function policy.on_select(candidates, ctx)
  local place = {}
  for index, candidate in ipairs(candidates) do place[candidate] = index end
  table.sort(candidates, function(a, b)
    for _, mark in ipairs(marks) do
      if mark(a) ~= mark(b) then return mark(a) < mark(b) end
    end
    return place[a] < place[b]
  end)
  return candidates
end

return policy

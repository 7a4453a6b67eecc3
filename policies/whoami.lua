-- A handler: tells the caller who it is. Try a token with it, or begin one of your own from it.

local handler = {}

function handler.handle(req, ctx)
  edge.reply{json = {user = ctx.user, roles = edge.json.array(ctx.roles or {}), requestId = req.id}}
end

return handler

// The coroutine library of scripts. Where a host function waits inside a script's coroutine, the wait goes up through
// all coroutines to the host, and the answer comes back down to the one that asked.
//
// Owns: resume, wrap, yield and what belongs to them. Called by: scripts. Never: shows a pooled coroutine, or resumes
// one that waits for the host.
#include "internal.h"

static int yield(lua_State *L);

// Whether the coroutine stands in a `yield` of the script, and not in a host function or in a `resume` that waits.
static int yielded_itself(lua_State *co) {
  lua_Debug record;
  if (!lua_getstack(co, 0, &record) || !lua_checkstack(co, 1)) return 0;
  lua_getinfo(co, "f", &record);
  int itself = lua_tocfunction(co, -1) == yield;
  lua_pop(co, 1);
  return itself;
}

// What keeps the coroutine from being resumed; NULL: nothing.
static const char *obstacle(lua_State *L, lua_State *co) {
  if (L == co) return "cannot resume non-suspended coroutine";
  lua_Debug record;
  switch (lua_status(co)) {
    case LUA_YIELD: return yielded_itself(co) ? NULL : "cannot resume a coroutine that waits for an answer";
    case LUA_OK:
      if (lua_getstack(co, 0, &record)) return "cannot resume non-suspended coroutine";
      return lua_gettop(co) == 0 ? "cannot resume dead coroutine" : NULL;
    default: return "cannot resume dead coroutine";
  }
}

enum { PASSED_ON = -2, RAISED = -1 };

// Runs `co`, which has its arguments. Returns how many values it left on the stack of `L`, RAISED with the error there,
// or PASSED_ON: then `L` must be suspended too.
static int step(lua_State *L, lua_State *co, int arguments) {
  clua_machine *machine = clua_of(L);
  int before = machine->blocked;
  int results = 0;
  machine->blocked = before || !lua_isyieldable(L);
  clua_enter(machine, co);
  int status = lua_resume(co, L, arguments, &results);
  clua_enter(machine, L);
  machine->blocked = before;
  if (status == LUA_YIELD && machine->signal != CLUA_SIGNAL_NONE) return PASSED_ON;
  if (status != LUA_OK && status != LUA_YIELD) {
    // Raises here what must not be caught; its place is where the coroutine stands.
    if (!machine->sticky && clua_is_memory_error(co, status)) clua_error_limit(machine, co, CLUA_ERROR_MEMORY);
    clua_recheck(L, LUA_OK);
    lua_xmove(co, L, 1);
    return RAISED;
  }
  clua_recheck(L, LUA_OK);
  if (!lua_checkstack(L, results + 1)) {
    lua_pop(co, results);
    clua_raise(L, "too many results to resume");
  }
  lua_xmove(co, L, results);
  return results;
}

static void give_arguments(lua_State *L, lua_State *co, int count) {
  if (!lua_checkstack(co, count)) clua_raise(L, "too many arguments to resume");
  lua_xmove(L, co, count);
}

static lua_State *coroutine_argument(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  luaL_argexpected(L, co != NULL, 1, "coroutine");
  return co;
}

static int resumed(lua_State *L, int status, lua_KContext context);

static int finish_resume(lua_State *L, int results) {
  if (results == PASSED_ON) return lua_yieldk(L, 0, 0, resumed);
  lua_pushboolean(L, results != RAISED);
  int count = results == RAISED ? 1 : results;
  lua_insert(L, -(count + 1));
  return count + 1;
}

// The coroutine is the first argument, also here.
static int resumed(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  return finish_resume(L, step(L, lua_tothread(L, 1), 0));
}

static int resume(lua_State *L) {
  lua_State *co = coroutine_argument(L);
  const char *reason = obstacle(L, co);
  if (reason != NULL) {
    lua_pushboolean(L, 0);
    lua_pushstring(L, reason);
    return 2;
  }
  int arguments = lua_gettop(L) - 1;
  give_arguments(L, co, arguments);
  return finish_resume(L, step(L, co, arguments));
}

static int unwrapped(lua_State *L, int status, lua_KContext context);

static int finish_wrapped(lua_State *L, int results) {
  if (results == PASSED_ON) return lua_yieldk(L, 0, 0, unwrapped);
  return results == RAISED ? lua_error(L) : results;
}

static int unwrapped(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  return finish_wrapped(L, step(L, lua_tothread(L, lua_upvalueindex(1)), 0));
}

static int call_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  const char *reason = obstacle(L, co);
  if (reason != NULL) return clua_raise(L, "%s", reason);
  int arguments = lua_gettop(L);
  give_arguments(L, co, arguments);
  return finish_wrapped(L, step(L, co, arguments));
}

static int create(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  return 1;
}

static int wrap(lua_State *L) {
  create(L);
  lua_pushcclosure(L, call_wrapped, 1);
  return 1;
}

static int yield(lua_State *L) {
  if (L == clua_of(L)->base) return clua_raise(L, "attempt to yield from outside a coroutine");
  return lua_yield(L, lua_gettop(L));
}

static int is_yieldable(lua_State *L) {
  lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
  lua_pushboolean(L, co != clua_of(L)->base && lua_isyieldable(co));
  return 1;
}

// The coroutine of a call is the machine's: as the main one it has no name here.
static int running(lua_State *L) {
  int is_main = L == clua_of(L)->base;
  if (is_main) {
    lua_pushnil(L);
  } else {
    lua_pushthread(L);
  }
  lua_pushboolean(L, is_main);
  return 2;
}

static const char *status_of(lua_State *L, lua_State *co) {
  lua_Debug record;
  if (L == co) return "running";
  switch (lua_status(co)) {
    case LUA_YIELD: return yielded_itself(co) ? "suspended" : "normal";
    case LUA_OK: return lua_getstack(co, 0, &record) ? "normal" : lua_gettop(co) == 0 ? "dead" : "suspended";
    default: return "dead";
  }
}

static int status(lua_State *L) {
  lua_pushstring(L, status_of(L, coroutine_argument(L)));
  return 1;
}

static int close(lua_State *L) {
  lua_State *co = coroutine_argument(L);
  const char *state = status_of(L, co);
  if (*state != 'd' && *state != 's') return clua_raise(L, "cannot close a %s coroutine", state);
  // Runs nothing of the script: there is no `__close`.
  int status = lua_resetthread(co);
  lua_pushboolean(L, status == LUA_OK);
  if (status == LUA_OK) return 1;
  lua_xmove(co, L, 1);
  // What a limit raised in an earlier slice is not for scripts.
  if (lua_touserdata(L, -1) == clua_of(L)) {
    lua_pop(L, 1);
    lua_pushliteral(L, "a limit was hit");
  }
  return 2;
}

int clua_open_coroutines(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"close", close},     {"create", create}, {"isyieldable", is_yieldable}, {"resume", resume},
      {"running", running}, {"status", status}, {"wrap", wrap},                {"yield", yield},
      {NULL, NULL},
  };
  luaL_newlib(L, functions);
  return 1;
}

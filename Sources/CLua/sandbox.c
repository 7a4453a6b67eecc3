// What a script finds: the globals, read-only views of the libraries, and an environment of its own.
//
// Owns: the globals, the functions of the base library that are not Lua's own. Called by: machine.c at opening,
// scripts.c for each script, scripts. Never: lets a script change what another one sees.
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "internal.h"

enum { LOAD_MAX = 64 * 1024, LOAD_PIECE = 128, CATCH_DEPTH_MAX = 1000 };

// Only its address counts: the key that marks metatables of views and environments.
static const char protected_key;

// MARK: Views

static int view_assign(lua_State *L) {
  const char *name = lua_tostring(L, lua_upvalueindex(1));
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
  return clua_raise(L, "field '%s' of '%s' is read-only", key, name);
}

// Finishes the metatable on the top.
static void mark_protected(lua_State *L) {
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pushboolean(L, 1);
  lua_rawsetp(L, -2, &protected_key);
}

void clua_protect_table(lua_State *L, const char *name) {
  lua_newtable(L);
  lua_createtable(L, 0, 4);
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "__index");
  lua_pushstring(L, name);
  lua_pushcclosure(L, view_assign, 1);
  lua_setfield(L, -2, "__newindex");
  mark_protected(L);
  lua_setmetatable(L, -2);
  lua_replace(L, -2);
}

int clua_is_protected(lua_State *L, int index) {
  if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return 0;
  int marked = lua_rawgetp(L, -1, &protected_key) != LUA_TNIL;
  lua_pop(L, 2);
  return marked;
}

void clua_unwrap_table(lua_State *L) {
  lua_getmetatable(L, -1);
  lua_getfield(L, -1, "__index");
  lua_replace(L, -3);
  lua_pop(L, 1);
}

static int frozen_assign(lua_State *L) {
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
  return clua_raise(L, "field '%s' is read-only", key);
}

static int frozen_length(lua_State *L) {
  lua_Unsigned length = clua_push_frozen(L, 1) ? lua_rawlen(L, -1) : 0;
  lua_pushinteger(L, (lua_Integer)length);
  return 1;
}

static int frozen_next(lua_State *L) {
  lua_settop(L, 2);
  if (!clua_push_frozen(L, 1)) return 0;
  lua_pushvalue(L, 2);
  return lua_next(L, 3) ? 2 : 0;
}

static int frozen_pairs(lua_State *L) {
  lua_pushcfunction(L, frozen_next);
  lua_pushvalue(L, 1);
  lua_pushnil(L);
  return 3;
}

void clua_freeze_table(lua_State *L) {
  luaL_checkstack(L, 4, NULL);
  lua_createtable(L, 0, 0);
  lua_createtable(L, 0, 6);
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, frozen_assign);
  lua_setfield(L, -2, "__newindex");
  lua_pushcfunction(L, frozen_length);
  lua_setfield(L, -2, "__len");
  lua_pushcfunction(L, frozen_pairs);
  lua_setfield(L, -2, "__pairs");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pushvalue(L, -3);
  lua_rawsetp(L, -2, &protected_key);
  lua_setmetatable(L, -2);
  lua_replace(L, -2);
}

int clua_push_frozen(lua_State *L, int index) {
  if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return 0;
  int is_frozen = lua_rawgetp(L, -1, &protected_key) == LUA_TTABLE;
  if (is_frozen) {
    lua_replace(L, -2);
  } else {
    lua_pop(L, 2);
  }
  return is_frozen;
}

// Lua's own look at what a table holds itself, and that is nothing where it is frozen.
static int unfrozen(lua_State *L) {
  if (clua_push_frozen(L, 1)) lua_replace(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

// MARK: Errors

static int finish_pcall(lua_State *L, int status, lua_KContext context) {
  (void)context;
  clua_recheck(L, status);
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L);
  lua_pushboolean(L, 0);
  lua_pushvalue(L, -2);
  return 2;
}

// At every error that is caught Lua looks at all frames below, where no hook runs: thousands of catches inside each
// other would cost their square.
static void check_depth(lua_State *L) {
  lua_Debug record;
  if (lua_getstack(L, CATCH_DEPTH_MAX, &record)) clua_raise(L, "too many calls inside each other to catch an error");
}

static int protected_call(lua_State *L) {
  check_depth(L);
  luaL_checkany(L, 1);
  lua_pushboolean(L, 1);
  lua_insert(L, 1);
  return finish_pcall(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_pcall), 0);
}

// Whatever became of the handler: `false` and its results, or its error, stand above the first four.
static int finish_handler(lua_State *L, int status, lua_KContext context) {
  (void)context;
  clua_recheck(L, status);
  return lua_gettop(L) - 4;
}

// The stack: function, handler, true, then results or the error.
static int finish_xpcall(lua_State *L, int status, lua_KContext context) {
  (void)context;
  clua_recheck(L, status);
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - 2;
  lua_settop(L, 4);
  lua_pushboolean(L, 0);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 4);
  return finish_handler(L, lua_pcallk(L, 1, LUA_MULTRET, 0, 0, finish_handler), 0);
}

// The handler runs when the stack is unwound: Lua's own would call it at the place of the error, where hooks are off,
// and one that never ends could not be stopped.
static int extended_call(lua_State *L) {
  check_depth(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_pushboolean(L, 1);
  lua_pushvalue(L, 1);
  lua_rotate(L, 3, 2);
  return finish_xpcall(L, lua_pcallk(L, lua_gettop(L) - 4, LUA_MULTRET, 0, 0, finish_xpcall), 0);
}

// MARK: Tables

static int set_metatable(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  int type = lua_type(L, 2);
  luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
  if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return clua_raise(L, "cannot change a protected metatable");
  lua_settop(L, 2);
  static const char *const refused[] = {"__gc", "__close"};
  for (int i = 0; type == LUA_TTABLE && i < 2; i++) {
    lua_pushstring(L, refused[i]);
    if (lua_rawget(L, 2) != LUA_TNIL) return clua_raise(L, "metatables cannot have '%s' here", refused[i]);
    lua_pop(L, 1);
  }
  lua_setmetatable(L, 1);
  return 1;
}

static int raw_set(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checkany(L, 2);
  luaL_checkany(L, 3);
  lua_settop(L, 3);
  if (clua_is_protected(L, 1)) return clua_raise(L, "table is read-only");
  lua_rawset(L, 1);
  return 1;
}

// MARK: load

typedef struct piecewise {
  const char *text;
  size_t length;
} piecewise;

// The compiler calls no hook, and can be made to search through thousands of variables for each name.
static const char *read_piece(lua_State *L, void *context, size_t *size) {
  piecewise *rest = context;
  if (clua_is_overdue(L)) clua_raise_limit(L);
  const char *piece = rest->text;
  *size = rest->length < LOAD_PIECE ? rest->length : LOAD_PIECE;
  rest->text += *size;
  rest->length -= *size;
  return *size == 0 ? NULL : piece;
}

// Upvalue: the environment of the script.
static int load_text(lua_State *L) {
  size_t length;
  luaL_checktype(L, 1, LUA_TSTRING);
  const char *text = lua_tolstring(L, 1, &length);
  const char *name = luaL_optstring(L, 2, "load");
  const char *mode = luaL_optstring(L, 3, "t");
  if (strchr(mode, 't') == NULL) return clua_raise(L, "load takes text only");
  int has_environment = !lua_isnone(L, 4);
  if (length > LOAD_MAX) {
    lua_pushnil(L);
    lua_pushstring(L, "text is longer than 64 KiB");
    return 2;
  }
  if (*name == '@' || *name == '=') name += 1;
  name = lua_pushfstring(L, "=[%s]", name);
  piecewise rest = {text, length};
  int status = lua_load(L, read_piece, &rest, name, "t");
  clua_recheck(L, status);
  if (status != LUA_OK) {
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
  }
  lua_pushvalue(L, has_environment ? 4 : lua_upvalueindex(1));
  if (lua_setupvalue(L, -2, 1) == NULL) lua_pop(L, 1);
  return 1;
}

// MARK: Environments

// Upvalues: the store of the script, the globals of the machine.
static int environment_assign(lua_State *L) {
  lua_settop(L, 3);
  int is_text = lua_type(L, 2) == LUA_TSTRING;
  const char *key = is_text ? lua_tostring(L, 2) : luaL_typename(L, 2);
  if (clua_of(L)->frozen) return clua_raise(L, "global '%s' is read-only after load", key);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL || (is_text && strcmp(key, "load") == 0)) {
    return clua_raise(L, "global '%s' is read-only", key);
  }
  lua_settop(L, 3);
  lua_rawset(L, lua_upvalueindex(1));
  return 0;
}

// The environment itself stays empty, so that every write is seen.
void clua_push_environment(lua_State *L) {
  clua_machine *machine = clua_of(L);
  luaL_checkstack(L, 8, NULL);
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, machine->globals);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
  // store
  lua_newtable(L);
  lua_createtable(L, 0, 4);
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "__index");
  lua_pushvalue(L, -3);
  lua_rawgeti(L, LUA_REGISTRYINDEX, machine->globals);
  lua_pushcclosure(L, environment_assign, 2);
  lua_setfield(L, -2, "__newindex");
  mark_protected(L);
  lua_setmetatable(L, -2);
  // store, environment
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, load_text, 1);
  lua_setfield(L, -3, "load");
}

void clua_flatten_stores(lua_State *L) {
  clua_machine *machine = clua_of(L);
  lua_settop(L, 0);
  lua_rawgeti(L, LUA_REGISTRYINDEX, machine->globals);
  for (int i = 0; i < machine->script_count; i++) {
    lua_settop(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, machine->scripts[i].store);
    lua_pushnil(L);
    while (lua_next(L, 1)) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, 2);
    }
    lua_pushnil(L);
    lua_setmetatable(L, 2);
  }
}

// MARK: Opening

// Makes an event of metatables unreachable: Lua looks for it under a name that no script can write. A finaliser runs
// where no hook can stop it, and `__close` while a coroutine is thrown away; refusing the keys in setmetatable is not
// enough, since they may be set later. Lua keeps the name as one string, whose bytes are changed in place; its users
// compare addresses. The metatable of lauxlib's buffers, which needs both, must hold the old strings already.
static void retire_event(lua_State *L, const char *event) {
  size_t length;
  lua_pushstring(L, event);
  char *bytes = (char *)lua_tolstring(L, -1, &length);
  if (getrandom(bytes, length, 0) != (ssize_t)length) memset(bytes, 0xff, length);
  lua_pop(L, 1);
}

static void retire_events(lua_State *L) {
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  // Larger than what stands in the buffer itself: makes the metatable.
  luaL_prepbuffsize(&buffer, 4 * LUAL_BUFFERSIZE);
  luaL_pushresult(&buffer);
  lua_pop(L, 1);
  retire_event(L, "__gc");
  retire_event(L, "__close");
  // Weak keys: the collector follows a chain of them one link a pass, for seconds where no hook runs.
  retire_event(L, "__mode");
}

// Sets a view of the library on the top into the globals below it.
static void add_library(lua_State *L, const char *name) {
  clua_protect_table(L, name);
  lua_setfield(L, -2, name);
}

static void open_base(lua_State *L) {
  static const char *const kept[] = {
      "assert",   "error",  "getmetatable", "ipairs",   "pairs",
      "rawequal", "select", "tonumber",     "tostring", "type", NULL,
  };
  static const luaL_Reg own[] = {
      {"pcall", protected_call}, {"xpcall", extended_call}, {"setmetatable", set_metatable}, {"rawset", raw_set},
      {NULL, NULL},
  };
  lua_pushcfunction(L, luaopen_base);
  lua_call(L, 0, 1);
  // globals of the machine, Lua's own
  for (int i = 0; kept[i] != NULL; i++) {
    lua_getfield(L, -1, kept[i]);
    lua_setfield(L, -3, kept[i]);
  }
  static const char *const raw[] = {"next", "rawget", "rawlen", NULL};
  for (int i = 0; raw[i] != NULL; i++) {
    lua_getfield(L, -1, raw[i]);
    lua_pushcclosure(L, unfrozen, 1);
    lua_setfield(L, -3, raw[i]);
  }
  lua_pop(L, 1);
  // What stands where Lua looks by itself is empty, and no script has it.
  lua_newtable(L);
  lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  luaL_setfuncs(L, own, 0);
}

// `edge.json.array`: marks a table so that it is a list even when empty.
static int mark_array(lua_State *L) {
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  // What it is was decided when it was made, and cannot be changed.
  if (clua_push_frozen(L, 1)) {
    lua_settop(L, 1);
    return 1;
  }
  const void *marked = clua_of(L)->array_metatable;
  if (lua_getmetatable(L, 1)) {
    if (lua_topointer(L, -1) != marked) return clua_raise(L, "edge.json.array takes a table without a metatable");
    lua_settop(L, 1);
    return 1;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, clua_of(L)->array_reference);
  lua_setmetatable(L, 1);
  return 1;
}

static void open_json(lua_State *L) {
  clua_machine *machine = clua_of(L);
  lua_createtable(L, 0, 1);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  machine->array_metatable = lua_topointer(L, -1);
  machine->array_reference = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_createtable(L, 0, 8);
  lua_createtable(L, 0, 8);
  lua_pushcfunction(L, mark_array);
  lua_setfield(L, -2, "array");
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  clua_protect_table(L, "edge.json");
  lua_setfield(L, -2, "json");
  add_library(L, "edge");
}

void clua_open_globals(lua_State *L) {
  lua_settop(L, 0);
  retire_events(L);
  lua_newtable(L);
  open_base(L);
  clua_open_strings(L);
  add_library(L, "string");
  clua_open_tables(L);
  add_library(L, "table");
  clua_open_coroutines(L);
  add_library(L, "coroutine");
  lua_pushcfunction(L, luaopen_math);
  lua_call(L, 0, 1);
  add_library(L, "math");
  lua_pushcfunction(L, luaopen_utf8);
  lua_call(L, 0, 1);
  add_library(L, "utf8");
  open_json(L);
  clua_of(L)->globals = luaL_ref(L, LUA_REGISTRYINDEX);
  // Lua writes this text where nobody could catch that there is no memory for it; a string that exists needs none.
  lua_pushliteral(L, "error in error handling");
  luaL_ref(L, LUA_REGISTRYINDEX);
}

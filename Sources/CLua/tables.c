// The table library, with a look at the clock in every loop: a length or an index may come from a script's metamethod
// and be as large as it likes, and no hook runs inside of C.
//
// Owns: the functions of `table`. Called by: scripts. Never: writes past `__newindex`, which is what keeps views
// read-only.
#include <limits.h>
#include <string.h>

#include "internal.h"

// Tables, and what behaves like one.
static void check_table(lua_State *L, int index) {
  if (lua_type(L, index) == LUA_TTABLE) return;
  if (lua_getmetatable(L, index)) {
    lua_pop(L, 1);
    return;
  }
  luaL_checktype(L, index, LUA_TTABLE);
}

static lua_Integer table_length(lua_State *L, int index) {
  check_table(L, index);
  return luaL_len(L, index);
}

static int insert(lua_State *L) {
  lua_Integer last = table_length(L, 1);
  last = luaL_intop(+, last, 1);
  switch (lua_gettop(L)) {
    case 2: break;
    case 3: {
      lua_Integer position = luaL_checkinteger(L, 2);
      luaL_argcheck(L, (lua_Unsigned)position - 1u < (lua_Unsigned)last, 2, "position out of bounds");
      for (lua_Integer i = last; i > position; i--) {
        clua_checkpoint(L, (lua_Unsigned)i);
        lua_geti(L, 1, i - 1);
        lua_seti(L, 1, i);
      }
      last = position;
      break;
    }
    default: return luaL_error(L, "wrong number of arguments to 'insert'");
  }
  lua_seti(L, 1, last);
  return 0;
}

static int take_out(lua_State *L) {
  lua_Integer size = table_length(L, 1);
  lua_Integer position = luaL_optinteger(L, 2, size);
  if (lua_gettop(L) > 1) {
    luaL_argcheck(L, (lua_Unsigned)position - 1u <= (lua_Unsigned)size, 2, "position out of bounds");
  }
  lua_geti(L, 1, position);
  for (; position < size; position++) {
    clua_checkpoint(L, (lua_Unsigned)position);
    lua_geti(L, 1, position + 1);
    lua_seti(L, 1, position);
  }
  lua_pushnil(L);
  lua_seti(L, 1, position);
  return 1;
}

static int move(lua_State *L) {
  lua_Integer from = luaL_checkinteger(L, 2);
  lua_Integer end = luaL_checkinteger(L, 3);
  lua_Integer to = luaL_checkinteger(L, 4);
  int target = !lua_isnoneornil(L, 5) ? 5 : 1;
  check_table(L, 1);
  check_table(L, target);
  if (end >= from) {
    luaL_argcheck(L, from > 0 || end < LUA_MAXINTEGER + from, 3, "too many elements to move");
    lua_Integer count = end - from + 1;
    luaL_argcheck(L, to <= LUA_MAXINTEGER - count + 1, 4, "destination wrap around");
    int upward = to > end || to <= from || (target != 1 && !lua_rawequal(L, 1, target));
    for (lua_Integer i = 0; i < count; i++) {
      lua_Integer offset = upward ? i : count - 1 - i;
      clua_checkpoint(L, (lua_Unsigned)i);
      lua_geti(L, 1, from + offset);
      lua_seti(L, target, to + offset);
    }
  }
  lua_pushvalue(L, target);
  return 1;
}

static void add_field(lua_State *L, luaL_Buffer *buffer, lua_Integer i) {
  clua_checkpoint(L, (lua_Unsigned)i);
  lua_geti(L, 1, i);
  if (!lua_isstring(L, -1)) {
    luaL_error(L, "invalid value (at index %I) in table for 'concat'", (LUAI_UACINT)i);
  }
  luaL_addvalue(buffer);
}

static int concat(lua_State *L) {
  lua_Integer last = table_length(L, 1);
  size_t length;
  const char *separator = luaL_optlstring(L, 2, "", &length);
  lua_Integer i = luaL_optinteger(L, 3, 1);
  last = luaL_optinteger(L, 4, last);
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  for (; i < last; i++) {
    add_field(L, &buffer, i);
    luaL_addlstring(&buffer, separator, length);
  }
  if (i == last) add_field(L, &buffer, i);
  luaL_pushresult(&buffer);
  return 1;
}

static int pack(lua_State *L) {
  int count = lua_gettop(L);
  lua_createtable(L, count, 1);
  lua_insert(L, 1);
  for (int i = count; i >= 1; i--) lua_rawseti(L, 1, i);
  lua_pushinteger(L, count);
  lua_setfield(L, 1, "n");
  return 1;
}

static int unpack(lua_State *L) {
  lua_Integer i = luaL_optinteger(L, 2, 1);
  lua_Integer end = luaL_opt(L, luaL_checkinteger, 3, luaL_len(L, 1));
  if (i > end) return 0;
  lua_Unsigned count = (lua_Unsigned)end - (lua_Unsigned)i;
  if (count >= (lua_Unsigned)INT_MAX || !lua_checkstack(L, (int)(++count))) {
    return luaL_error(L, "too many results to unpack");
  }
  for (; i < end; i++) {
    clua_checkpoint(L, (lua_Unsigned)i);
    lua_geti(L, 1, i);
  }
  lua_geti(L, 1, end);
  return (int)count;
}

// MARK: Sorting

// Whether the value at the first index comes before the one at the second.
static int comes_before(lua_State *L, int first, int second) {
  if (lua_isnil(L, 2)) return lua_compare(L, first, second, LUA_OPLT);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, first - 1);
  lua_pushvalue(L, second - 2);
  lua_call(L, 2, 1);
  int before = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return before;
}

// Lets the value on the top sink from `position` in the heap of the elements 1…count. Pops it.
static void sink(lua_State *L, lua_Integer position, lua_Integer count) {
  for (;;) {
    lua_Integer child = position * 2;
    if (child > count) break;
    // Every time: one comparison of long strings takes milliseconds.
    clua_checkpoint(L, 255);
    lua_geti(L, 1, child);
    if (child < count) {
      lua_geti(L, 1, child + 1);
      if (comes_before(L, -2, -1)) {
        lua_remove(L, -2);
        child += 1;
      } else {
        lua_pop(L, 1);
      }
    }
    // value, child
    if (!comes_before(L, -2, -1)) {
      lua_pop(L, 1);
      break;
    }
    lua_seti(L, 1, position);
    position = child;
  }
  lua_seti(L, 1, position);
}

// A heap sort: as many steps as it says, whatever the order function answers.
static int sort(lua_State *L) {
  lua_Integer count = table_length(L, 1);
  if (count < 2) return 0;
  luaL_argcheck(L, count < INT_MAX, 1, "array too big");
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  for (lua_Integer i = count / 2; i >= 1; i--) {
    lua_geti(L, 1, i);
    sink(L, i, count);
  }
  for (lua_Integer end = count; end > 1; end--) {
    lua_geti(L, 1, end);
    lua_geti(L, 1, 1);
    lua_seti(L, 1, end);
    sink(L, 1, end - 1);
  }
  return 0;
}

int clua_open_tables(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"concat", concat}, {"insert", insert}, {"move", move},     {"pack", pack},
      {"remove", take_out}, {"sort", sort},   {"unpack", unpack}, {NULL, NULL},
  };
  luaL_newlib(L, functions);
  return 1;
}

// The `string` library of the sandbox. byte, char, len, lower, pack, packsize, reverse, sub, unpack and upper are Lua's
// own, being linear in what they read and write; there is no dump.
//
// Owns: the table, the metatable of strings, rep. Called by: the machine when it opens. Never: lets a script reach the
// metatable.
#include "strings.h"

#include <limits.h>
#include <string.h>

#include "internal.h"

// Fills `total` bytes with what stands in the first `unit`, doubling.
static void repeat(char *bytes, size_t unit, size_t total) {
  size_t done = unit;
  while (done < total) {
    size_t more = done < total - done ? done : total - done;
    memcpy(bytes + done, bytes, more);
    done += more;
  }
}

// Lua's counts to `n` even for nothing.
static int string_rep(lua_State *L) {
  size_t length, gap_length;
  const char *text = luaL_checklstring(L, 1, &length);
  lua_Integer n = luaL_checkinteger(L, 2);
  const char *gap = luaL_optlstring(L, 3, "", &gap_length);
  size_t unit = length + gap_length;
  if (n <= 0 || unit == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  if (unit > (size_t)INT_MAX / (size_t)n) return luaL_error(L, "resulting string too large");
  size_t total = (size_t)n * unit - gap_length;
  luaL_Buffer buffer;
  char *bytes = luaL_buffinitsize(L, &buffer, total);
  memcpy(bytes, text, length);
  if (n > 1) {
    memcpy(bytes + length, gap, gap_length);
    repeat(bytes, unit, total);
  }
  luaL_pushresultsize(&buffer, total);
  return 1;
}

static const luaL_Reg functions[] = {
    {"find", clua_string_find}, {"format", clua_string_format}, {"gmatch", clua_string_gmatch},
    {"gsub", clua_string_gsub}, {"match", clua_string_match},   {"rep", string_rep},
    {NULL, NULL},
};

int clua_open_strings(lua_State *L) {
  lua_pushcfunction(L, luaopen_string);
  lua_call(L, 0, 1);
  luaL_setfuncs(L, functions, 0);
  lua_pushnil(L);
  lua_setfield(L, -2, "dump");
  // Lua's metatable stays: arithmetic on strings that are numbers.
  lua_pushliteral(L, "");
  lua_getmetatable(L, -1);
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 2);
  return 1;
}

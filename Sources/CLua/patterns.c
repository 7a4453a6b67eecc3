// string.find, match, gmatch and gsub over the counting matcher.
//
// Owns: where a match may begin, and what is made of it. Called by: scripts. Never: runs longer than the matcher's
// steps allow, callbacks apart.
#define _GNU_SOURCE  // memmem, which is linear in glibc
#include "matching.h"
#include "strings.h"

#include <ctype.h>
#include <lua5.4/lauxlib.h>
#include <string.h>

// MARK: find and match

// A start given by a script as an offset from 0, which may be behind the end.
static size_t offset_of(lua_Integer position, size_t length) {
  if (position > 0) return (size_t)position - 1;
  if (position == 0 || position < -(lua_Integer)length) return 0;
  return length + (size_t)position;
}

static int is_plain(const char *pattern, size_t length) {
  for (size_t i = 0; i < length; i++) {
    // strchr finds the zero that ends the list, too.
    if (pattern[i] != '\0' && strchr("^$*+?.([%-", pattern[i])) return 0;
  }
  return 1;
}

static int find_plain(lua_State *L, const char *s, size_t length, size_t start, const char *what, size_t what_length) {
  const char *found = what_length == 0 ? s + start : memmem(s + start, length - start, what, what_length);
  if (!found) {
    luaL_pushfail(L);
    return 1;
  }
  lua_pushinteger(L, found - s + 1);
  lua_pushinteger(L, found - s + (lua_Integer)what_length);
  return 2;
}

static int first_match(lua_State *L, int wants_place) {
  size_t length, pattern_length;
  const char *s = luaL_checklstring(L, 1, &length);
  const char *pattern = luaL_checklstring(L, 2, &pattern_length);
  size_t start = offset_of(luaL_optinteger(L, 3, 1), length);
  if (start > length) {
    luaL_pushfail(L);
    return 1;
  }
  if (wants_place && (lua_toboolean(L, 4) || is_plain(pattern, pattern_length))) {
    return find_plain(L, s, length, start, pattern, pattern_length);
  }
  clua_matcher m;
  clua_matcher_set(&m, L, s, length, pattern, pattern_length);
  int is_anchored = *pattern == '^';
  pattern += is_anchored;
  for (const char *at = s + start; at <= m.end; at++) {
    const char *end = clua_match(&m, at, pattern);
    if (end && !wants_place) return clua_captures_push(&m, at, end);
    if (end) {
      lua_pushinteger(L, at - s + 1);
      lua_pushinteger(L, end - s);
      return 2 + clua_captures_push(&m, NULL, NULL);
    }
    if (is_anchored) break;
  }
  luaL_pushfail(L);
  return 1;
}

int clua_string_find(lua_State *L) { return first_match(L, 1); }

int clua_string_match(lua_State *L) { return first_match(L, 0); }

// MARK: gmatch

typedef struct iteration {
  clua_matcher matcher;
  const char *pattern;
  const char *at;    // where to look next
  const char *last;  // where the last match ended
} iteration;

// Upvalues: the two strings, which it keeps alive, and the iteration.
static int next_match(lua_State *L) {
  iteration *i = lua_touserdata(L, lua_upvalueindex(3));
  i->matcher.L = L;
  i->matcher.steps.rest = CLUA_MATCH_STEPS_MAX;
  for (; i->at <= i->matcher.end; i->at++) {
    const char *end = clua_match(&i->matcher, i->at, i->pattern);
    if (!end || end == i->last) continue;
    const char *start = i->at;
    i->at = i->last = end;
    return clua_captures_push(&i->matcher, start, end);
  }
  return 0;
}

int clua_string_gmatch(lua_State *L) {
  size_t length, pattern_length;
  const char *s = luaL_checklstring(L, 1, &length);
  const char *pattern = luaL_checklstring(L, 2, &pattern_length);
  size_t start = offset_of(luaL_optinteger(L, 3, 1), length);
  lua_settop(L, 2);
  iteration *i = lua_newuserdatauv(L, sizeof(iteration), 0);
  clua_matcher_set(&i->matcher, L, s, length, pattern, pattern_length);
  i->pattern = pattern;
  i->at = s + (start > length ? length + 1 : start);
  i->last = NULL;
  lua_pushcclosure(L, next_match, 3);
  return 1;
}

// MARK: gsub

// Adds a replacement text: `%0` to `%9` are captures, `%%` is a percent sign.
static void add_text(clua_matcher *m, luaL_Buffer *buffer, const char *s, const char *e) {
  lua_State *L = m->L;
  size_t length;
  const char *text = lua_tolstring(L, 3, &length);
  const char *text_end = text + length;
  for (;;) {
    const char *escape = memchr(text, '%', (size_t)(text_end - text));
    clua_steps_take(L, &m->steps, 1);
    if (!escape) break;
    luaL_addlstring(buffer, text, (size_t)(escape - text));
    text = escape + 2;
    if (escape[1] == '%') {
      luaL_addchar(buffer, '%');
    } else if (escape[1] == '0') {
      luaL_addlstring(buffer, s, (size_t)(e - s));
    } else if (isdigit((unsigned char)escape[1])) {
      clua_capture capture = clua_capture_at(m, escape[1] - '1', s, e);
      if (capture.length == CLUA_CAPTURE_POSITION) {
        lua_pushinteger(L, capture.start - m->subject + 1);
        luaL_addvalue(buffer);
      } else {
        luaL_addlstring(buffer, capture.start, (size_t)capture.length);
      }
    } else {
      luaL_error(L, "invalid use of '%%' in replacement string");
    }
  }
  luaL_addlstring(buffer, text, (size_t)(text_end - text));
}

// Adds what stands for the match from `s` to `e`; 0 when that is the match itself.
static int add_replacement(clua_matcher *m, luaL_Buffer *buffer, int kind, const char *s, const char *e) {
  lua_State *L = m->L;
  if (kind == LUA_TFUNCTION) {
    lua_pushvalue(L, 3);
    lua_call(L, clua_captures_push(m, s, e), 1);
  } else if (kind == LUA_TTABLE) {
    clua_capture_push(m, 0, s, e);
    lua_gettable(L, 3);
  } else {
    add_text(m, buffer, s, e);
    return 1;
  }
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    luaL_addlstring(buffer, s, (size_t)(e - s));
    return 0;
  }
  if (!lua_isstring(L, -1)) luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  luaL_addvalue(buffer);
  return 1;
}

int clua_string_gsub(lua_State *L) {
  size_t length, pattern_length;
  const char *s = luaL_checklstring(L, 1, &length);
  const char *pattern = luaL_checklstring(L, 2, &pattern_length);
  int kind = lua_type(L, 3);
  lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)length + 1);
  luaL_argexpected(
      L, kind == LUA_TNUMBER || kind == LUA_TSTRING || kind == LUA_TTABLE || kind == LUA_TFUNCTION, 3,
      "string/function/table");
  clua_matcher m;
  clua_matcher_set(&m, L, s, length, pattern, pattern_length);
  int is_anchored = *pattern == '^';
  pattern += is_anchored;
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  const char *at = s, *last = NULL;
  lua_Integer count = 0;
  int is_changed = 0;
  while (count < most) {
    const char *end = clua_match(&m, at, pattern);
    if (end && end != last) {
      count++;
      is_changed |= add_replacement(&m, &buffer, kind, at, end);
      at = last = end;
    } else if (at < m.end) {
      luaL_addchar(&buffer, *at++);
    } else {
      break;
    }
    if (is_anchored) break;
  }
  if (is_changed) {
    luaL_addlstring(&buffer, at, (size_t)(m.end - at));
    luaL_pushresult(&buffer);
  } else {
    lua_pushvalue(L, 1);
  }
  lua_pushinteger(L, count);
  return 2;
}

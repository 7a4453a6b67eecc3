// Scripts: compiling, running the top level, finding functions; where in the text a syntax error is.
//
// Owns: the list of scripts. Called by: LuaBridge, when a generation is built. Never: during requests.
#include <stdlib.h>
#include <string.h>

#include "internal.h"

typedef struct loading {
  const char *name;
  const char *source;
  size_t length;
  size_t consumed;
  long offset;
  int line;  // another one than Lua names; 0: none
  int table;
  int store;
} loading;

// One byte at a time, so that at an error it is known how far the reader had come.
static const char *read_byte(lua_State *L, void *context, size_t *size) {
  (void)L;
  loading *l = context;
  *size = l->consumed < l->length ? 1 : 0;
  return *size == 0 ? NULL : l->source + l->consumed++;
}

static int is_blank(char byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

// The last byte that is no blank.
static long end_offset(const loading *l) {
  size_t at = l->length;
  while (at > 0 && is_blank(l->source[at - 1])) at -= 1;
  return at > 0 ? (long)at - 1 : 0;
}

// The first byte of a line that is no blank.
static long line_offset(const loading *l, int line) {
  size_t at = 0;
  for (int i = 1; i < line && at < l->length; at++) {
    if (l->source[at] == '\n') i += 1;
  }
  while (at < l->length && is_blank(l->source[at]) && l->source[at] != '\n') at += 1;
  return (long)at;
}

// Lua names the token where it stopped: "… near 'token'". It ends at or before the last byte that was read.
static long error_offset(const loading *l, const char *message, size_t length) {
  static const char near[] = " near ";
  size_t size = sizeof(near) - 1;
  const char *found = NULL;
  for (size_t i = 0; i + size <= length; i++) {
    if (memcmp(message + i, near, size) == 0) found = message + i + size;
    // The first one: what follows is text of the script.
    if (found != NULL) break;
  }
  if (found == NULL) return -1;
  size_t rest = length - (size_t)(found - message);
  if (rest == 5 && memcmp(found, "<eof>", 5) == 0) return end_offset(l);
  if (rest < 3 || found[0] != '\'') return -1;
  const char *token = found + 1;
  size_t token_length = rest - 2;
  char byte;
  if (token_length > 4 && token[0] == '<' && token[1] == '\\') {
    byte = (char)strtol(token + 2, NULL, 10);
    token = &byte;
    token_length = 1;
  }
  if (token_length > l->consumed) return -1;
  for (size_t at = l->consumed - token_length + 1; at-- > 0;) {
    if (memcmp(l->source + at, token, token_length) == 0) return (long)at;
  }
  return -1;
}

static int message_line(const char *message) {
  // "name:line: text", where the name may hold colons.
  for (const char *at = strchr(message, ':'); at != NULL; at = strchr(at + 1, ':')) {
    char *end;
    long line = strtol(at + 1, &end, 10);
    if (end > at + 1 && *end == ':' && line > 0) return (int)line;
  }
  return 0;
}

static int compile_and_run(lua_State *L) {
  loading *l = lua_touserdata(L, 1);
  clua_push_environment(L);
  int environment = lua_gettop(L);
  lua_pushfstring(L, "@%s", l->name);
  int status = lua_load(L, read_byte, l, lua_tostring(L, -1), "t");
  if (status != LUA_OK) {
    clua_recheck(L, status);
    size_t length;
    const char *message = lua_tolstring(L, -1, &length);
    if (message != NULL) {
      l->offset = error_offset(l, message, length);
      if (l->offset < 0) {
        // "no visible label 'x' for goto at line 3": said where the function ends.
        const char *place = strstr(message, " at line ");
        if (place != NULL) l->line = (int)strtol(place + 9, NULL, 10);
        l->offset = line_offset(l, l->line > 0 ? l->line : message_line(message));
      }
    }
    return lua_error(L);
  }
  lua_pushvalue(L, environment);
  if (lua_setupvalue(L, -2, 1) == NULL) lua_pop(L, 1);
  lua_call(L, 0, 1);
  if (!lua_istable(L, -1)) {
    lua_pushfstring(L, "%s: the script must return a table, not a %s value", l->name, luaL_typename(L, -1));
    return lua_error(L);
  }
  l->table = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushvalue(L, environment - 1);
  l->store = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

int clua_load(clua_machine *machine, const char *name, const char *source, size_t length) {
  char *copy = strdup(name);
  clua_script *scripts =
      clua_grown(machine->scripts, machine->script_count, &machine->script_capacity, sizeof(clua_script));
  if (scripts != NULL) machine->scripts = scripts;
  if (copy == NULL || scripts == NULL) {
    free(copy);
    clua_error_set(machine, CLUA_ERROR_MEMORY, "not enough memory");
    return -1;
  }
  int has_mark = length >= 3 && memcmp(source, "\xef\xbb\xbf", 3) == 0;
  loading l = {.name = name, .source = source + (has_mark ? 3 : 0), .length = length - (has_mark ? 3 : 0),
               .offset = -1};
  machine->loading = name;
  int outcome = clua_run_blocked(machine, compile_and_run, &l);
  machine->loading = NULL;
  if (outcome != CLUA_DONE) {
    if (l.table > 0) luaL_unref(machine->L, LUA_REGISTRYINDEX, l.table);
    if (l.line > 0) machine->error.line = l.line;
    if (l.offset >= 0) machine->error.offset = l.offset + (has_mark ? 3 : 0);
    free(copy);
    return -1;
  }
  machine->scripts[machine->script_count] = (clua_script){copy, l.table, l.store};
  return machine->script_count++;
}

void clua_keys(
    clua_machine *machine, int script, void *target,
    void (*each)(void *target, const char *name, size_t length, int kind)) {
  if (script < 0 || script >= machine->script_count) return;
  lua_State *L = machine->L;
  // Nothing here can raise: raw reads, and keys that the table itself gave.
  lua_rawgeti(L, LUA_REGISTRYINDEX, machine->scripts[script].table);
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    int kind = lua_isfunction(L, -1) ? -1 : clua_kind(L, -1);
    if (lua_type(L, -2) == LUA_TSTRING) {
      size_t length;
      const char *key = lua_tolstring(L, -2, &length);
      each(target, key, length, kind == -1 || kind >= 0 ? kind : CLUA_NIL);
    } else {
      static const char other[] = "[not a name]";
      each(target, other, sizeof(other) - 1, kind);
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

typedef struct search {
  int table;
  const char *name;
  int reference;
} search;

static int find_function(lua_State *L) {
  search *s = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->table);
  lua_pushstring(L, s->name);
  if (lua_rawget(L, -2) == LUA_TFUNCTION) s->reference = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

int clua_script_function(clua_machine *machine, int script, const char *name) {
  if (script < 0 || script >= machine->script_count) return -1;
  search s = {machine->scripts[script].table, name, -1};
  return clua_protect(machine, find_function, &s) == LUA_OK ? s.reference : -1;
}

static int flatten(lua_State *L) {
  clua_flatten_stores(L);
  return 0;
}

void clua_freeze(clua_machine *machine) {
  machine->frozen = 1;
  // Without memory for it globals are found all the same, only more slowly.
  clua_protect(machine, flatten, NULL);
}

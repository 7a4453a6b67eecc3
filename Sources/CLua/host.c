// Host functions, objects and handles: how Swift is called from Lua. The Swift function fills a plain result; pushing,
// raising and yielding happen here, when its frame is gone.
//
// Owns: the trampolines, the definitions. Called by: Lua; LuaBridge before the first script. Never: calls anything of
// Lua that may raise while a host function runs.
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum { MESSAGE_MAX = 1000 };

static int raise(lua_State *L, const clua_result *result) {
  size_t length = result->message == NULL ? 0 : result->message_length;
  if (length > MESSAGE_MAX) length = MESSAGE_MAX;
  clua_push_place(L);
  lua_pushlstring(L, length == 0 ? "" : result->message, length);
  lua_concat(L, 2);
  return lua_error(L);
}

static int push_results(lua_State *L, const clua_result *result) {
  if (result->count > 8) luaL_checkstack(L, (int)result->count, "too many results");
  clua_push(L, result->values, result->count);
  return (int)result->count;
}

// The answer has come: the coroutine goes on here.
static int answered(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  clua_machine *machine = clua_of(L);
  const clua_result *answer = machine->answer;
  machine->answer = NULL;
  if (answer == NULL) return clua_raise(L, "nobody has answered");
  if (machine->answer_how == CLUA_RAISE) return raise(L, answer);
  return push_results(L, answer);
}

static int suspend(lua_State *L, clua_machine *machine, int signal) {
  if (!clua_may_wait(machine, L)) {
    if (signal != CLUA_SIGNAL_END) return clua_raise(L, "cannot wait here: the caller cannot be suspended");
    // Whoever refuses means it: no catch may go on as if nothing had been said.
    clua_error_unended(machine, L);
    return clua_raise_limit(L);
  }
  if (signal == CLUA_SIGNAL_WAIT) {
    if (*machine->waits >= machine->limits.exchange_waits) {
      clua_error_waits(machine, L);
      return clua_raise_limit(L);
    }
    *machine->waits += 1;
  }
  machine->signal = signal;
  return lua_yieldk(L, 0, 0, answered);
}

static int call(lua_State *L, void *pointer) {
  clua_machine *machine = clua_of(L);
  clua_result result;
  result.values = result.own;
  result.count = 0;
  result.message = NULL;
  result.message_length = 0;
  int how = ((clua_function)pointer)(L, machine->context, &result);
  switch (how) {
    case CLUA_RETURN: return push_results(L, &result);
    case CLUA_RAISE:
      // A table that was not laid out for want of time is not wrong.
      return clua_is_overdue(L) ? clua_raise_limit(L) : raise(L, &result);
    case CLUA_YIELD: return suspend(L, machine, CLUA_SIGNAL_WAIT);
    case CLUA_END: return suspend(L, machine, CLUA_SIGNAL_END);
    default: return clua_raise(L, "the host's function gave no answer");
  }
}

static int host_function(lua_State *L) { return call(L, lua_touserdata(L, lua_upvalueindex(1))); }

void clua_push_function(lua_State *L, clua_function function) {
  lua_pushlightuserdata(L, (void *)function);
  lua_pushcclosure(L, host_function, 1);
}

int clua_may_pause(lua_State *L) { return clua_may_wait(clua_of(L), L); }

const char *clua_keep(lua_State *L, const char *text, size_t *length) {
  clua_machine *machine = clua_of(L);
  if (*length > sizeof(machine->text)) *length = sizeof(machine->text);
  memcpy(machine->text, text, *length);
  return machine->text;
}

// MARK: Objects

static uint32_t place_of(const void *name, const clua_fields *fields) {
  return (uint32_t)((uintptr_t)name / 16) & fields->mask;
}

// Upvalues: known fields, the function for all others or nil, the name of the object, what keeps the names of fields.
static int object_index(lua_State *L) {
  const clua_fields *fields = lua_touserdata(L, lua_upvalueindex(1));
  const void *key = lua_topointer(L, 2);
  for (uint32_t i = place_of(key, fields); fields->entries[i].name != NULL; i = (i + 1) & fields->mask) {
    if (fields->entries[i].name == key) return call(L, (void *)fields->entries[i].function);
  }
  void *index = lua_touserdata(L, lua_upvalueindex(2));
  if (index != NULL) return call(L, index);
  const char *name = lua_tostring(L, lua_upvalueindex(3));
  if (lua_type(L, 2) == LUA_TSTRING) return clua_raise(L, "%s has no field '%s'", name, lua_tostring(L, 2));
  return clua_raise(L, "%s has no such field (a %s)", name, luaL_typename(L, 2));
}

static int object_assign(lua_State *L) {
  lua_settop(L, 3);
  void *assign = lua_touserdata(L, lua_upvalueindex(1));
  if (assign != NULL) return call(L, assign);
  const char *name = lua_tostring(L, lua_upvalueindex(2));
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
  return clua_raise(L, "%s is read-only: '%s' cannot be set", name, key);
}

typedef struct definition {
  const char *name;
  const char *const *names;
  const clua_function *functions;
  int count;
  clua_function index;
  clua_function assign;
  clua_function text;
  const clua_value *value;
  clua_fields *fields;
  int reference;
} definition;

static void push_pointer(lua_State *L, clua_function function) {
  if (function == NULL) {
    lua_pushnil(L);
  } else {
    lua_pushlightuserdata(L, (void *)function);
  }
}

static void set_common(lua_State *L, const char *name) {
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
}

static int define_object(lua_State *L) {
  definition *d = lua_touserdata(L, 1);
  clua_block *block = lua_newuserdatauv(L, sizeof(clua_block), 0);
  *block = (clua_block){.kind = CLUA_OBJECT, .index = (uint32_t)clua_of(L)->object_count};
  lua_createtable(L, 0, 4);
  set_common(L, d->name);
  lua_pushlightuserdata(L, d->fields);
  push_pointer(L, d->index);
  lua_pushstring(L, d->name);
  lua_createtable(L, d->count, 0);
  for (int i = 0; i < d->count; i++) {
    const void *name = lua_pushstring(L, d->names[i]) == NULL ? NULL : lua_topointer(L, -1);
    lua_rawseti(L, -2, i + 1);
    uint32_t place = place_of(name, d->fields);
    while (d->fields->entries[place].name != NULL) place = (place + 1) & d->fields->mask;
    d->fields->entries[place].name = name;
    d->fields->entries[place].function = d->functions[i];
  }
  lua_pushcclosure(L, object_index, 4);
  lua_setfield(L, -2, "__index");
  push_pointer(L, d->assign);
  lua_pushstring(L, d->name);
  lua_pushcclosure(L, object_assign, 2);
  lua_setfield(L, -2, "__newindex");
  lua_setmetatable(L, -2);
  d->reference = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

int clua_define_object(
    clua_machine *machine, const char *name, const char *const *names, const clua_function *functions, int count,
    clua_function index, clua_function assign) {
  definition d = {.name = name, .names = names, .functions = functions, .count = count, .index = index,
                  .assign = assign};
  clua_object *objects =
      clua_grown(machine->objects, machine->object_count, &machine->object_capacity, sizeof(clua_object));
  if (objects == NULL) return -1;
  machine->objects = objects;
  // At most half full, so that a search ends soon.
  uint32_t size = 4;
  while (size < 2 * (uint32_t)count) size *= 2;
  d.fields = calloc(1, sizeof(clua_fields) + size * sizeof(d.fields->entries[0]));
  if (d.fields == NULL) return -1;
  d.fields->mask = size - 1;
  if (clua_protect(machine, define_object, &d) != LUA_OK) {
    free(d.fields);
    return -1;
  }
  machine->objects[machine->object_count] = (clua_object){d.reference, d.fields};
  return machine->object_count++;
}

// MARK: Handles

static int define_class(lua_State *L) {
  definition *d = lua_touserdata(L, 1);
  lua_createtable(L, 0, 4);
  set_common(L, d->name);
  lua_createtable(L, 0, d->count);
  for (int i = 0; i < d->count; i++) {
    clua_push_function(L, d->functions[i]);
    lua_setfield(L, -2, d->names[i]);
  }
  lua_setfield(L, -2, "__index");
  lua_pushnil(L);
  lua_pushstring(L, d->name);
  lua_pushcclosure(L, object_assign, 2);
  lua_setfield(L, -2, "__newindex");
  if (d->text != NULL) {
    clua_push_function(L, d->text);
    lua_setfield(L, -2, "__tostring");
  }
  d->reference = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

int clua_define_class(
    clua_machine *machine, const char *name, const char *const *names, const clua_function *functions, int count,
    clua_function text) {
  definition d = {.name = name, .names = names, .functions = functions, .count = count, .text = text};
  clua_class *classes =
      clua_grown(machine->classes, machine->class_count, &machine->class_capacity, sizeof(clua_class));
  if (classes == NULL) return -1;
  machine->classes = classes;
  if (clua_protect(machine, define_class, &d) != LUA_OK) return -1;
  machine->classes[machine->class_count] = (clua_class){d.reference, text != NULL};
  return machine->class_count++;
}

// MARK: Functions and values at dotted paths

static int define_path(lua_State *L) {
  definition *d = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, clua_of(L)->globals);
  const char *part = d->name;
  for (const char *dot = strchr(part, '.'); dot != NULL; part = dot + 1, dot = strchr(part, '.')) {
    lua_pushlstring(L, part, (size_t)(dot - part));
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) == LUA_TNIL) {
      lua_pop(L, 1);
      lua_newtable(L);
      lua_pushlstring(L, d->name, (size_t)(dot - d->name));
      const char *name = lua_tostring(L, -1);
      lua_pushvalue(L, -2);
      clua_protect_table(L, name);
      // parent, key, table, name, view
      lua_replace(L, -3);
      lua_pop(L, 1);
      lua_pushvalue(L, -2);
      lua_pushvalue(L, -2);
      lua_rawset(L, -5);
    } else if (!clua_is_protected(L, -1)) {
      return clua_raise(L, "'%s' is no table of the machine", d->name);
    }
    // parent, key, view: only the table behind it stays
    clua_unwrap_table(L);
    lua_replace(L, -3);
    lua_pop(L, 1);
  }
  lua_pushstring(L, part);
  if (d->value != NULL) {
    clua_push(L, d->value, 1);
  } else {
    clua_push_function(L, d->index);
  }
  lua_rawset(L, -3);
  return 0;
}

int clua_define(clua_machine *machine, const char *path, clua_function function) {
  definition d = {.name = path, .index = function};
  return clua_protect(machine, define_path, &d) == LUA_OK ? 0 : -1;
}

int clua_define_value(clua_machine *machine, const char *path, const clua_value *value) {
  definition d = {.name = path, .value = value};
  return clua_protect(machine, define_path, &d) == LUA_OK ? 0 : -1;
}

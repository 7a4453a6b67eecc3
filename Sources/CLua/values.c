// Flat values in and out of Lua.
//
// Owns: how lists, maps, null and handles look in Lua. Called by: host functions through clua_argument_…, calls.c.
// Never: runs a metamethod; reading raises nothing and allocates nothing in Lua but room on its stack.
#include <stdlib.h>
#include <string.h>

#include "internal.h"

// What is done with a flat value is done without a look at the clock, and a table may name one string many times.
enum { DEPTH_MAX = 100, PUSH_DEPTH_MAX = 150, TEXT_MAX = 2 << 20 };

// MARK: In

// Not part of push_value, which would save many registers for each plain value.
#define RARE __attribute__((noinline))

// How a value is pushed: read-only with all that is in it, or as scripts may change it.
enum { FROZEN = 1 << 16 };

static const clua_value *push_value(lua_State *L, const clua_value *value, int depth);

static const clua_value *push_members(lua_State *L, const clua_value *value, int depth) {
  uint32_t count = value->count;
  if ((depth & ~FROZEN) > PUSH_DEPTH_MAX) luaL_error(L, "value too deep");
  luaL_checkstack(L, 6, "value too deep");
  const clua_value *next = value + 1;
  if (value->kind == CLUA_LIST) {
    lua_createtable(L, (int)count, 0);
    if (count == 0) {
      lua_rawgeti(L, LUA_REGISTRYINDEX, clua_of(L)->array_reference);
      lua_setmetatable(L, -2);
    }
    for (uint32_t i = 1; i <= count; i++) {
      next = push_value(L, next, depth + 1);
      lua_rawseti(L, -2, i);
    }
    return next;
  }
  lua_createtable(L, 0, (int)count);
  for (uint32_t i = 0; i < count; i++) {
    next = push_value(L, next, depth + 1);
    next = push_value(L, next, depth + 1);
    lua_rawset(L, -3);
  }
  return next;
}

RARE static const clua_value *push_table(lua_State *L, const clua_value *value, int depth) {
  const clua_value *next = push_members(L, value, depth);
  if (depth & FROZEN) clua_freeze_table(L);
  return next;
}

RARE static void push_constant(lua_State *L, const clua_value *value) {
  size_t place = ((uintptr_t)value->as.bytes / 8 + value->length) % CLUA_CONSTANTS;
  clua_constant *constant = &clua_of(L)->constants[place];
  if (constant->bytes == value->as.bytes && constant->length == value->length && value->length > 0) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, constant->reference);
    return;
  }
  lua_pushlstring(L, value->length == 0 ? "" : value->as.bytes, value->length);
  if (value->length == 0) return;
  lua_pushvalue(L, -1);
  if (constant->reference == 0) {
    constant->reference = luaL_ref(L, LUA_REGISTRYINDEX);
  } else {
    lua_rawseti(L, LUA_REGISTRYINDEX, constant->reference);
  }
  constant->bytes = value->as.bytes;
  constant->length = value->length;
}

// MARK: Kept values

int clua_keeps(lua_State *L, uint32_t place, int64_t serial) {
  const int64_t *kept = clua_of(L)->kept;
  return kept != NULL && place < CLUA_KEPT_MAX && kept[place] == serial;
}

RARE static void push_kept(lua_State *L, const clua_value *value) {
  clua_machine *machine = clua_of(L);
  if (machine->kept == NULL || value->count >= CLUA_KEPT_MAX) luaL_error(L, "nothing is kept there");
  lua_rawgeti(L, LUA_REGISTRYINDEX, machine->kept_reference);
  lua_rawgeti(L, -1, (lua_Integer)value->count + 1);
  lua_replace(L, -2);
}

RARE static const clua_value *keep(lua_State *L, const clua_value *value) {
  clua_machine *machine = clua_of(L);
  luaL_checkstack(L, 4, NULL);
  const clua_value *next = push_value(L, value + 1, FROZEN);
  if (value->count >= CLUA_KEPT_MAX) return next;
  if (machine->kept == NULL) {
    lua_createtable(L, CLUA_KEPT_MAX, 0);
    machine->kept_reference = luaL_ref(L, LUA_REGISTRYINDEX);
    machine->kept = calloc(CLUA_KEPT_MAX, sizeof(int64_t));
    if (machine->kept == NULL) luaL_error(L, "not enough memory");
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, machine->kept_reference);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, (lua_Integer)value->count + 1);
  lua_pop(L, 1);
  machine->kept[value->count] = value->as.integer;
  return next;
}

RARE static void push_handle(lua_State *L, const clua_value *value) {
  clua_machine *machine = clua_of(L);
  if (value->count >= (uint32_t)machine->class_count) luaL_error(L, "unknown class");
  clua_block *block = lua_newuserdatauv(L, sizeof(clua_block), 0);
  *block = (clua_block){.kind = CLUA_HANDLE, .index = value->count, .payload = value->as.integer};
  lua_rawgeti(L, LUA_REGISTRYINDEX, machine->classes[value->count].reference);
  lua_setmetatable(L, -2);
}

static const clua_value *push_value(lua_State *L, const clua_value *value, int depth) {
  switch (value->kind) {
    case CLUA_NIL: lua_pushnil(L); break;
    case CLUA_BOOLEAN: lua_pushboolean(L, value->as.integer != 0); break;
    case CLUA_INTEGER: lua_pushinteger(L, value->as.integer); break;
    case CLUA_NUMBER: lua_pushnumber(L, value->as.number); break;
    case CLUA_STRING: lua_pushlstring(L, value->length == 0 ? "" : value->as.bytes, value->length); break;
    case CLUA_NULL: lua_pushlightuserdata(L, NULL); break;
    case CLUA_LIST:
    case CLUA_MAP: return push_table(L, value, depth);
    case CLUA_OBJECT: {
      clua_machine *machine = clua_of(L);
      if (value->count >= (uint32_t)machine->object_count) luaL_error(L, "unknown object");
      lua_rawgeti(L, LUA_REGISTRYINDEX, machine->objects[value->count].reference);
      break;
    }
    case CLUA_HANDLE: push_handle(L, value); break;
    case CLUA_CONSTANT: push_constant(L, value); break;
    case CLUA_KEPT: push_kept(L, value); break;
    case CLUA_KEEP: return keep(L, value);
    default: luaL_error(L, "unknown kind of value");
  }
  return value + 1;
}

const clua_value *clua_push(lua_State *L, const clua_value *values, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) values = push_value(L, values, 0);
  return values;
}

// MARK: Out

static const void *metatable_of(lua_State *L, int index) {
  if (!lua_getmetatable(L, index)) return NULL;
  const void *metatable = lua_topointer(L, -1);
  lua_pop(L, 1);
  return metatable;
}

// The userdata when it is an object or a handle, as `kind` says; else NULL.
static const clua_block *block_of(lua_State *L, int index, uint32_t kind) {
  if (lua_type(L, index) != LUA_TUSERDATA) return NULL;
  const clua_block *block = lua_touserdata(L, index);
  return block->kind == kind ? block : NULL;
}

int clua_kind(lua_State *L, int index) {
  switch (lua_type(L, index)) {
    case LUA_TNONE:
    case LUA_TNIL: return CLUA_NIL;
    case LUA_TBOOLEAN: return CLUA_BOOLEAN;
    case LUA_TNUMBER: return lua_isinteger(L, index) ? CLUA_INTEGER : CLUA_NUMBER;
    case LUA_TSTRING: return CLUA_STRING;
    case LUA_TTABLE: return CLUA_MAP;
    case LUA_TLIGHTUSERDATA: return lua_touserdata(L, index) == NULL ? CLUA_NULL : -1;
    case LUA_TUSERDATA: return (int)((const clua_block *)lua_touserdata(L, index))->kind;
    default: return -1;
  }
}

typedef struct flattening {
  lua_State *L;
  clua_value *out;
  int used;
  int capacity;
  size_t text;  // bytes in strings
} flattening;

static int flatten(flattening *f, int depth);

// Whether the table on the top is a sequence: its keys are exactly 1…n. `count` is the number of its keys.
static int shape(lua_State *L, lua_Unsigned *count, int *reason) {
  lua_Unsigned length = lua_rawlen(L, -1);
  lua_Unsigned keys = 0;
  int strings = 0, others = 0;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_pop(L, 1);
    keys += 1;
    if (lua_type(L, -1) == LUA_TSTRING) {
      strings = 1;
    } else if (!lua_isinteger(L, -1) || (lua_Unsigned)lua_tointeger(L, -1) - 1 >= length) {
      others = 1;
    }
    if (others || (strings && length > 0)) {
      lua_pop(L, 1);
      *reason = CLUA_FLAT_KEY;
      return 0;
    }
  }
  *count = keys;
  if (keys > 0 && !strings && keys != length) *reason = CLUA_FLAT_KEY;
  if (keys == 0) return metatable_of(L, -1) == clua_of(L)->array_metatable;
  return !strings;
}

static int flatten_members(flattening *f, int is_list, lua_Unsigned count, int depth) {
  lua_State *L = f->L;
  int reason = 0;
  if (is_list) {
    for (lua_Unsigned i = 1; i <= count && reason == 0; i++) {
      lua_rawgeti(L, -1, (lua_Integer)i);
      reason = flatten(f, depth + 1);
      lua_pop(L, 1);
    }
    return reason;
  }
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    if (f->used == f->capacity) {
      reason = CLUA_FLAT_FULL;
    } else {
      clua_value *key = &f->out[f->used++];
      *key = (clua_value){.kind = CLUA_STRING};
      key->as.bytes = lua_tolstring(L, -2, &key->length);
      f->text += key->length;
      reason = f->text > TEXT_MAX ? CLUA_FLAT_LARGE : flatten(f, depth + 1);
    }
    lua_pop(L, 1);
    if (reason == 0) continue;
    lua_pop(L, 1);
    break;
  }
  return reason;
}

static int flatten_handle(lua_State *L, clua_value *out) {
  const clua_block *block = block_of(L, -1, CLUA_HANDLE);
  if (block == NULL || !clua_of(L)->classes[block->index].is_value) return CLUA_FLAT_UNSUPPORTED;
  out->count = block->index;
  out->as.integer = block->payload;
  return 0;
}

int clua_flatten_plain(lua_State *L, int index, clua_value *out) {
  int kind = clua_kind(L, index);
  *out = (clua_value){.kind = (uint32_t)kind};
  switch (kind) {
    case CLUA_BOOLEAN: out->as.integer = lua_toboolean(L, index); return 1;
    case CLUA_INTEGER: out->as.integer = lua_tointeger(L, index); return 1;
    case CLUA_NUMBER: out->as.number = lua_tonumber(L, index); return 1;
    case CLUA_STRING: out->as.bytes = lua_tolstring(L, index, &out->length); return 1;
    default: return 0;
  }
}

// The value on the top of the stack, which stays there.
static int flatten(flattening *f, int depth) {
  lua_State *L = f->L;
  if (f->used == f->capacity || clua_is_overdue(L)) return CLUA_FLAT_FULL;
  clua_value *out = &f->out[f->used++];
  if (clua_flatten_plain(L, -1, out)) {
    f->text += out->length;
    return f->text > TEXT_MAX ? CLUA_FLAT_LARGE : 0;
  }
  switch ((int)out->kind) {
    case CLUA_NIL:
    case CLUA_NULL: return 0;
    case CLUA_HANDLE: return flatten_handle(L, out);
    case CLUA_MAP: break;
    default: return CLUA_FLAT_UNSUPPORTED;
  }
  if (depth >= DEPTH_MAX || !lua_checkstack(L, 8)) return CLUA_FLAT_DEEP;
  int reason = 0;
  lua_Unsigned count = 0;
  int is_frozen = clua_push_frozen(L, -1);
  int is_list = shape(L, &count, &reason);
  if (reason == 0 && count > (lua_Unsigned)f->capacity) reason = CLUA_FLAT_FULL;
  if (reason == 0) {
    out->kind = is_list ? CLUA_LIST : CLUA_MAP;
    out->count = (uint32_t)count;
    reason = flatten_members(f, is_list, count, depth);
  }
  if (is_frozen) lua_pop(L, 1);
  return reason;
}

int clua_flatten(lua_State *L, int index, clua_value *out, int capacity) {
  if (!lua_checkstack(L, 8)) return CLUA_FLAT_DEEP;
  flattening f = {L, out, 0, capacity, 0};
  if (lua_isnone(L, index)) {
    lua_pushnil(L);
  } else {
    lua_pushvalue(L, index);
  }
  int reason = flatten(&f, 0);
  lua_pop(L, 1);
  return reason == 0 ? f.used : reason;
}

// MARK: Plain entries

// How many members the table on the top has when it is a list of plain values, or empty; -1: it is something else.
// Whoever has more than `most` is not looked at to its end.
static int plain_members(lua_State *L, int most) {
  int length = 0;
  for (; length <= most; length++) {
    clua_value member;
    if (clua_is_overdue(L)) clua_raise_limit(L);
    if (lua_rawgeti(L, -1, length + 1) == LUA_TNIL) {
      lua_pop(L, 1);
      break;
    }
    int is_plain = clua_flatten_plain(L, -1, &member);
    lua_pop(L, 1);
    if (!is_plain) return -1;
  }
  if (length > most) return length;
  int keys = 0;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_pop(L, 1);
    if (++keys <= length) continue;
    lua_pop(L, 1);
    return -1;
  }
  return length;
}

// The value on the top under the key below it, both of which stay there; -1: no room.
static int flatten_entry(flattening *f) {
  lua_State *L = f->L;
  int value_index = lua_gettop(L);
  clua_value value;
  int members = 0;
  if (!clua_flatten_plain(L, -1, &value)) {
    if (value.kind != CLUA_MAP) return 0;
    if (clua_push_frozen(L, -1)) lua_replace(L, value_index);
    members = plain_members(L, f->capacity);
    if (members < 0) return 0;
    int is_list = members > 0 || metatable_of(L, -1) == clua_of(L)->array_metatable;
    value = (clua_value){.kind = is_list ? CLUA_LIST : CLUA_MAP, .count = (uint32_t)members};
  }
  if (members > f->capacity - f->used - 2) return -1;
  clua_value *key = &f->out[f->used++];
  *key = (clua_value){.kind = CLUA_STRING};
  key->as.bytes = lua_tolstring(L, -2, &key->length);
  f->out[f->used++] = value;
  for (int i = 1; i <= members; i++) {
    lua_rawgeti(L, -1, i);
    clua_flatten_plain(L, -1, &f->out[f->used++]);
    lua_pop(L, 1);
  }
  f->out->count += 1;
  return 0;
}

int clua_flatten_entries(lua_State *L, clua_value *out, int capacity) {
  if (capacity < 1 || !lua_checkstack(L, 8)) return CLUA_FLAT_FULL;
  flattening f = {L, out, 1, capacity, 0};
  *out = (clua_value){.kind = CLUA_MAP};
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    if (clua_is_overdue(L)) clua_raise_limit(L);
    int is_full = lua_type(L, -2) == LUA_TSTRING && flatten_entry(&f) < 0;
    lua_pop(L, 1);
    if (!is_full) continue;
    lua_pop(L, 1);
    return CLUA_FLAT_FULL;
  }
  return f.used;
}

// MARK: Arguments of host functions

int clua_arguments(lua_State *L) { return lua_gettop(L); }

int clua_argument_kind(lua_State *L, int index) { return clua_kind(L, index); }

const char *clua_argument_string(lua_State *L, int index, size_t *length) {
  if (lua_type(L, index) != LUA_TSTRING) return NULL;
  return lua_tolstring(L, index, length);
}

int clua_argument_integer(lua_State *L, int index, int64_t *value) {
  if (lua_type(L, index) != LUA_TNUMBER) return 0;
  int is_integer;
  lua_Integer integer = lua_tointegerx(L, index, &is_integer);
  if (is_integer) *value = integer;
  return is_integer;
}

int clua_argument_number(lua_State *L, int index, double *value) {
  if (lua_type(L, index) != LUA_TNUMBER) return 0;
  *value = lua_tonumber(L, index);
  return 1;
}

int clua_argument_boolean(lua_State *L, int index) { return lua_toboolean(L, index); }

int clua_argument_handle(lua_State *L, int index, uint32_t class_index, int64_t *payload) {
  const clua_block *block = block_of(L, index, CLUA_HANDLE);
  if (block == NULL || block->index != class_index) return 0;
  *payload = block->payload;
  return 1;
}

int clua_argument_object(lua_State *L, int index) {
  const clua_block *block = block_of(L, index, CLUA_OBJECT);
  return block == NULL ? -1 : (int)block->index;
}

int clua_argument_texts(lua_State *L, int index, clua_value *out, int capacity) {
  if (lua_type(L, index) != LUA_TTABLE || !lua_checkstack(L, 4)) return -1;
  int is_frozen = clua_push_frozen(L, index);
  if (!is_frozen) lua_pushvalue(L, index);
  lua_Unsigned count = lua_rawlen(L, -1);
  int is_list = count <= (lua_Unsigned)capacity;
  for (lua_Unsigned i = 1; i <= count && is_list; i++) {
    is_list = lua_rawgeti(L, -1, (lua_Integer)i) == LUA_TSTRING && clua_flatten_plain(L, -1, &out[i - 1]);
    lua_pop(L, 1);
  }
  // A frozen sequence was made as a list. A table of names is none, and looks like an empty one.
  if (is_list && is_frozen && count > 0) {
    lua_pop(L, 1);
    return (int)count;
  }
  lua_Unsigned keys = 0;
  lua_pushnil(L);
  while (is_list && lua_next(L, -2)) {
    lua_pop(L, 1);
    keys += 1;
    if (keys > count) {
      is_list = 0;
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
  return is_list ? (int)count : -1;
}

int clua_argument_flat(lua_State *L, int index, clua_value *out, int capacity) {
  return clua_flatten(L, index, out, capacity);
}

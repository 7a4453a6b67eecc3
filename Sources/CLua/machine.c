// A machine: one lua_State with its pool, opened with the sandbox in it.
//
// Owns: opening and closing, protected calls of the machine's own, garbage collection. Called by: LuaBridge. Never:
// reaches Lua's panic: whatever may raise runs protected.
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static _Thread_local uint64_t fail_opening_at;

void clua_fail_opening(uint64_t number) { fail_opening_at = number; }

static int open_globals(lua_State *L) {
  clua_open_globals(L);
  return 0;
}

static void release(clua_machine *machine) {
  clua_pool_end(&machine->pool);
  for (int i = 0; i < machine->script_count; i++) free(machine->scripts[i].name);
  free(machine->slots);
  free(machine->contexts);
  free(machine->scripts);
  for (int i = 0; i < machine->object_count; i++) free(machine->objects[i].fields);
  free(machine->objects);
  free(machine->classes);
  free(machine->kept);
  free(machine);
}

clua_machine *clua_open(clua_limits limits, void *context) {
  clua_machine *machine = calloc(1, sizeof(clua_machine));
  if (machine == NULL) return NULL;
  machine->limits = limits;
  machine->context = context;
  machine->clock = &machine->idle;
  machine->free_slot = -1;
  machine->ready_context = -1;
  machine->bare_context = -1;
  machine->pool.limit = limits.memory_bytes;
  machine->pool.single_limit = limits.string_bytes;
  machine->collect_at = limits.memory_bytes / 2;
  machine->pool.fail_at = fail_opening_at;
  fail_opening_at = 0;
  clua_error_clear(machine);
  lua_State *L = lua_newstate(clua_pool_allocate, &machine->pool);
  if (L == NULL) {
    release(machine);
    return NULL;
  }
  machine->L = L;
  *(clua_machine **)lua_getextraspace(L) = machine;
  if (clua_protect(machine, open_globals, NULL) != LUA_OK) {
    clua_close(machine);
    return NULL;
  }
  // Short pauses for the few objects of a request; what lives long is in Swift.
  lua_gc(L, LUA_GCGEN, 0, 0);
  return machine;
}

void clua_close(clua_machine *machine) {
  if (machine == NULL) return;
  lua_close(machine->L);
  release(machine);
}

void clua_set_ticks(clua_machine *machine, uint32_t slice_ticks, uint32_t exchange_ticks) {
  machine->limits.slice_ticks = slice_ticks;
  machine->limits.exchange_ticks = exchange_ticks;
}

void clua_set_context(clua_machine *machine, void *context) { machine->context = context; }

void clua_set_clock(clua_machine *machine, clua_clock *clock) {
  machine->clock = clock == NULL ? &machine->idle : clock;
}

size_t clua_memory_used(clua_machine *machine) { return machine->pool.used; }

void clua_fail_allocation(clua_machine *machine, uint64_t number) {
  machine->pool.fail_at = number == 0 ? 0 : machine->pool.count + number;
  machine->pool.retry_size = 0;
}

uint64_t clua_allocations(clua_machine *machine) { return machine->pool.count; }

static int collect_full(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT);
  return 0;
}

static int collect_step(lua_State *L) {
  lua_gc(L, LUA_GCSTEP, 0);
  return 0;
}

size_t clua_collect(clua_machine *machine, int full) {
  clua_protect(machine, full ? collect_full : collect_step, NULL);
  return machine->pool.used;
}

int clua_protect(clua_machine *machine, lua_CFunction function, void *argument) {
  lua_State *L = machine->L;
  lua_pushcfunction(L, function);
  lua_pushlightuserdata(L, argument);
  int status = lua_pcall(L, 1, 0, 0);
  if (status != LUA_OK) lua_pop(L, 1);
  return status;
}

void *clua_grown(void *items, int count, int *capacity, size_t size) {
  if (count < *capacity) return items;
  int wanted = *capacity == 0 ? 16 : *capacity * 2;
  void *grown = realloc(items, (size_t)wanted * size);
  if (grown != NULL) *capacity = wanted;
  return grown;
}

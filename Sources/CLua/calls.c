// Calls and their contexts: each call runs on a pooled coroutine, in slices that the clock watches.
//
// Owns: the pool of coroutines, the contexts, what becomes of a slice. Called by: LuaBridge. Never: makes a Lua call
// outside of protection that may raise: a call begins with plain values or with a light function that does the rest.
#include <stdlib.h>

#include "internal.h"

// MARK: Coroutines

static int new_thread(lua_State *L) {
  clua_slot *slot = lua_touserdata(L, 1);
  slot->thread = lua_newthread(L);
  slot->reference = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

// A slot whose coroutine is ready; -1: no memory.
static int take_slot(clua_machine *machine) {
  int index = machine->free_slot;
  if (index < 0) {
    clua_slot *slots = clua_grown(machine->slots, machine->slot_count, &machine->slot_capacity, sizeof(clua_slot));
    if (slots == NULL) return -1;
    machine->slots = slots;
    index = machine->slot_count++;
    machine->slots[index] = (clua_slot){.next = -1};
    machine->free_slot = index;
  }
  clua_slot *slot = &machine->slots[index];
  if (slot->thread == NULL) {
    clua_slot fresh = *slot;
    if (clua_protect(machine, new_thread, &fresh) != LUA_OK) return -1;
    *slot = fresh;
  }
  machine->free_slot = slot->next;
  return index;
}

// A call may leave much behind, and the memory of lauxlib's buffers, which cannot wait for the collector either, is
// nothing that the collector counts. What lives long is not looked through for every call: only once half of what it
// leaves free is used up.
static void collect_if_much(clua_machine *machine) {
  if (machine->pool.used <= machine->collect_at) return;
  size_t limit = machine->limits.memory_bytes;
  size_t lives = clua_collect(machine, 1);
  machine->collect_at = lives < limit ? lives + (limit - lives) / 2 : limit;
}

// Of a coroutine whose stack is empty.
static void free_slot(clua_machine *machine, int index) {
  clua_slot *slot = &machine->slots[index];
  slot->state = CLUA_STATE_FREE;
  slot->next = machine->free_slot;
  machine->free_slot = index;
  collect_if_much(machine);
}

static void give_slot(clua_machine *machine, int index) {
  clua_slot *slot = &machine->slots[index];
  lua_State *L = slot->thread;
  if (lua_gethookmask(L) != 0) lua_sethook(L, NULL, 0, 0);
  // Closes what a call has left open. That can only be buffers of lauxlib, for there is no `__close`; it runs
  // protected, and what cannot be closed is left to the collector.
  if (slot->state != CLUA_STATE_DONE) lua_resetthread(L);
  if (slot->spoiled) {
    // Its hooks may be off for good: whoever raised in a hook leaves them so.
    luaL_unref(machine->L, LUA_REGISTRYINDEX, slot->reference);
    slot->thread = NULL;
    slot->spoiled = 0;
  } else {
    lua_settop(L, 0);
  }
  free_slot(machine, index);
}

static clua_slot *slot_of(clua_machine *machine, const clua_call *call) {
  if (call->coroutine < 0 || call->coroutine >= machine->slot_count) return NULL;
  return &machine->slots[call->coroutine];
}

// MARK: Slices

static int is_context(const clua_machine *machine, int index) {
  return index >= 0 && index < machine->context_count && machine->contexts[index].is_live;
}

static clua_spending *spending_of(clua_machine *machine, clua_slot *slot) {
  int context = slot->context;
  return is_context(machine, context) ? &machine->contexts[context].spent : &slot->spent;
}

// For a new call.
static clua_spending *begin_spending(clua_machine *machine, clua_slot *slot, int context) {
  slot->context = context;
  slot->spent = (clua_spending){0};
  return spending_of(machine, slot);
}

static int fail(clua_slot *slot) {
  slot->state = CLUA_STATE_FAILED;
  return CLUA_FAILED;
}

// Runs the coroutine, which has its arguments, until it returns, waits, ends or fails.
static int run(clua_machine *machine, clua_slot *slot, clua_spending *spent, int arguments, int blocked) {
  lua_State *L = slot->thread;
  clua_clock *clock = machine->clock;
  uint32_t left = machine->limits.exchange_ticks - spent->ticks;
  machine->base = L;
  machine->blocked = blocked;
  machine->waits = &spent->waits;
  machine->signal = CLUA_SIGNAL_NONE;
  machine->sticky = 0;
  machine->pool.refused = CLUA_REFUSED_NONE;
  clock->ticks = 0;
  clock->limit = left < machine->limits.slice_ticks ? left : machine->limits.slice_ticks;
  clock->suspect = 0;
  clock->overdue = 0;
  atomic_signal_fence(memory_order_seq_cst);
  clock->running = L;
  int results = 0;
  int status = lua_resume(L, machine->L, arguments, &results);
  clock->running = NULL;
  atomic_signal_fence(memory_order_seq_cst);
  spent->ticks += clock->ticks;
  machine->answer = NULL;
  if (status != LUA_OK && status != LUA_YIELD) clua_error_take(machine, L, status);
  machine->base = NULL;
  clock->suspect = 0;
  clock->overdue = 0;
  if (machine->sticky) {
    slot->spoiled = 1;
    machine->sticky = 0;
    return fail(slot);
  }
  if (lua_gethookmask(L) != 0) lua_sethook(L, NULL, 0, 0);
  if (status == LUA_OK) {
    slot->results = results;
    slot->state = CLUA_STATE_DONE;
    return CLUA_DONE;
  }
  if (status != LUA_YIELD) return fail(slot);
  int ended = machine->signal == CLUA_SIGNAL_END;
  slot->state = ended ? CLUA_STATE_ENDED : CLUA_STATE_PENDING;
  return ended ? CLUA_ENDED : CLUA_PENDING;
}

// Counts what a slice has taken, by the clock of the thread.
static void charge(clua_spending *spent, uint64_t nanoseconds) {
  spent->nanoseconds += nanoseconds;
  uint64_t measured = spent->nanoseconds / clua_tick_nanoseconds();
  if (measured > spent->ticks) spent->ticks = measured > UINT32_MAX ? UINT32_MAX : (uint32_t)measured;
}

// Whether the context has had all its time.
static int is_spent(clua_machine *machine, clua_slot *slot, const clua_spending *spent, int function) {
  if (spent->ticks < machine->limits.exchange_ticks) return 0;
  clua_error_spent(machine, slot->thread, function, spent->nanoseconds);
  return 1;
}

int clua_run_blocked(clua_machine *machine, lua_CFunction function, void *argument) {
  int index = take_slot(machine);
  if (index < 0) {
    clua_error_set(machine, CLUA_ERROR_MEMORY, "not enough memory");
    return CLUA_FAILED;
  }
  clua_slot *slot = &machine->slots[index];
  clua_spending *spent = begin_spending(machine, slot, -1);
  lua_pushcfunction(slot->thread, function);
  lua_pushlightuserdata(slot->thread, argument);
  int outcome = run(machine, slot, spent, 1, 1);
  give_slot(machine, index);
  return outcome;
}

// MARK: Calls

typedef struct job {
  int function;
  int context;
  const clua_value *arguments;
  int count;
} job;

static void push_context(lua_State *L, int context, int *fresh) {
  if (is_context(clua_of(L), context)) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, clua_of(L)->contexts[context].reference);
  } else if (*fresh != 0) {
    lua_pushvalue(L, *fresh);
  } else {
    lua_newtable(L);
    *fresh = lua_gettop(L);
  }
}

static int returned(lua_State *L, int status, lua_KContext context) {
  (void)L;
  (void)status;
  (void)context;
  return 1;
}

// The first function of a coroutine whose arguments are more than plain values.
static int begin(lua_State *L) {
  job *work = lua_touserdata(L, 1);
  int count = work->count;
  luaL_checkstack(L, count + 4, "too many arguments");
  lua_settop(L, 0);
  lua_rawgeti(L, LUA_REGISTRYINDEX, work->function);
  const clua_value *value = work->arguments;
  int fresh = 0;
  for (int i = 0; i < count; i++) {
    if (value->kind == CLUA_CONTEXT) {
      push_context(L, work->context, &fresh);
      value += 1;
    } else {
      value = clua_push(L, value, 1);
    }
  }
  lua_callk(L, count, 1, 0, returned);
  return 1;
}

// Pushes function and arguments where nothing can raise: no memory is needed and the stack has room. Returns how many
// arguments, or -1: nothing was pushed.
static int push_plain(clua_machine *machine, lua_State *L, const job *work) {
  if (work->count > 8) return -1;
  lua_rawgeti(L, LUA_REGISTRYINDEX, work->function);
  for (int i = 0; i < work->count; i++) {
    const clua_value *value = &work->arguments[i];
    if (value->kind == CLUA_CONTEXT && is_context(machine, work->context)) {
      lua_rawgeti(L, LUA_REGISTRYINDEX, machine->contexts[work->context].reference);
    } else if (value->kind == CLUA_OBJECT && value->count < (uint32_t)machine->object_count) {
      lua_rawgeti(L, LUA_REGISTRYINDEX, machine->objects[value->count].reference);
    } else if (value->kind <= CLUA_NUMBER || value->kind == CLUA_NULL) {
      clua_push(L, value, 1);
    } else {
      lua_settop(L, 0);
      return -1;
    }
  }
  return work->count;
}

int clua_start(clua_machine *machine, clua_call *call, const clua_value *arguments, int count) {
  call->coroutine = take_slot(machine);
  if (call->coroutine < 0) {
    clua_error_set(machine, CLUA_ERROR_MEMORY, "not enough memory");
    return CLUA_FAILED;
  }
  clua_slot *slot = &machine->slots[call->coroutine];
  clua_spending *spent = begin_spending(machine, slot, call->context);
  if (is_spent(machine, slot, spent, call->function)) return fail(slot);
  job work = {call->function, call->context, arguments, count};
  lua_State *L = slot->thread;
  int pushed = push_plain(machine, L, &work);
  if (pushed < 0) {
    lua_pushcfunction(L, begin);
    lua_pushlightuserdata(L, &work);
    pushed = 1;
  }
  int outcome = run(machine, slot, spent, pushed, 0);
  // What returned nothing has left nothing on the stack either.
  if (outcome == CLUA_DONE && slot->results == 0) {
    free_slot(machine, call->coroutine);
    call->coroutine = -1;
  }
  return outcome;
}

int clua_resume(clua_machine *machine, const clua_call *call, int how, const clua_result *answer) {
  clua_slot *slot = slot_of(machine, call);
  if (slot == NULL || slot->state != CLUA_STATE_PENDING) {
    clua_error_set(machine, CLUA_ERROR_SCRIPT, "nothing waits for an answer");
    return CLUA_FAILED;
  }
  clua_spending *spent = spending_of(machine, slot);
  if (is_spent(machine, slot, spent, call->function)) return fail(slot);
  machine->answer = answer;
  machine->answer_how = how;
  // Ticks see only what runs when they come, and a script that waits often can run between them. So slices that follow
  // a wait are measured.
  uint64_t before = clua_thread_nanoseconds();
  int outcome = run(machine, slot, spent, 0, 0);
  charge(spent, clua_thread_nanoseconds() - before);
  return outcome;
}

void clua_finish(clua_machine *machine, clua_call *call) {
  clua_slot *slot = slot_of(machine, call);
  if (slot != NULL && slot->state != CLUA_STATE_FREE) give_slot(machine, call->coroutine);
  call->coroutine = -1;
}

int clua_returned_kind(clua_machine *machine, const clua_call *call) {
  clua_slot *slot = slot_of(machine, call);
  if (slot == NULL || slot->state != CLUA_STATE_DONE || slot->results == 0) return CLUA_NIL;
  return clua_kind(slot->thread, -slot->results);
}

int clua_returned_flat(clua_machine *machine, const clua_call *call, clua_value *out, int capacity) {
  clua_slot *slot = slot_of(machine, call);
  if (slot != NULL && slot->state != CLUA_STATE_DONE) return CLUA_FLAT_UNSUPPORTED;
  if (slot != NULL && slot->results > 0) return clua_flatten(slot->thread, -slot->results, out, capacity);
  if (capacity < 1) return CLUA_FLAT_FULL;
  *out = (clua_value){.kind = CLUA_NIL};
  return 1;
}

// MARK: Contexts

enum { CONTEXTS_READY = 8 };

// Gives the contexts that are free their tables, some at once: raising has to be caught, which costs more than a table.
static int make_ready(lua_State *L) {
  clua_machine *machine = clua_of(L);
  for (int i = 0; i < CONTEXTS_READY && machine->bare_context >= 0; i++) {
    int index = machine->bare_context;
    clua_context *context = &machine->contexts[index];
    lua_createtable(L, 0, 4);
    if (context->reference == 0) {
      context->reference = luaL_ref(L, LUA_REGISTRYINDEX);
    } else {
      lua_rawseti(L, LUA_REGISTRYINDEX, context->reference);
    }
    machine->bare_context = context->next;
    context->next = machine->ready_context;
    machine->ready_context = index;
  }
  return 0;
}

static void make_contexts_ready(clua_machine *machine) {
  int count = 0;
  for (int i = machine->bare_context; i >= 0 && count < CONTEXTS_READY; i = machine->contexts[i].next) count += 1;
  for (; count < CONTEXTS_READY; count++) {
    clua_context *contexts =
        clua_grown(machine->contexts, machine->context_count, &machine->context_capacity, sizeof(clua_context));
    if (contexts == NULL) break;
    machine->contexts = contexts;
    int index = machine->context_count++;
    machine->contexts[index] = (clua_context){.next = machine->bare_context};
    machine->bare_context = index;
  }
  clua_protect(machine, make_ready, NULL);
}

void clua_context_refill(clua_machine *machine, int context) {
  if (context < 0 || context >= machine->context_count) return;
  machine->contexts[context].spent = (clua_spending){0};
}

int clua_context_new(clua_machine *machine) {
  if (machine->ready_context < 0) make_contexts_ready(machine);
  int index = machine->ready_context;
  if (index < 0) return -1;
  clua_context *context = &machine->contexts[index];
  machine->ready_context = context->next;
  context->is_live = 1;
  clua_context_refill(machine, index);
  return index;
}

void clua_context_end(clua_machine *machine, int index) {
  if (!is_context(machine, index)) return;
  clua_context *context = &machine->contexts[index];
  lua_pushboolean(machine->L, 0);
  lua_rawseti(machine->L, LUA_REGISTRYINDEX, context->reference);
  context->is_live = 0;
  context->next = machine->bare_context;
  machine->bare_context = index;
}

// MARK: What stands in contexts

typedef struct text {
  const char *bytes;
  int reference;
} text;

static int keep_text(lua_State *L) {
  text *t = lua_touserdata(L, 1);
  lua_pushstring(L, t->bytes);
  t->reference = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

// Pushes a key as the string of Lua that it was before, since making one may raise. 0: no memory, nothing was pushed.
static int push_key(clua_machine *machine, const char *key) {
  int place = 0;
  while (place < CLUA_KEYS && machine->keys[place].bytes != key && machine->keys[place].bytes != NULL) place += 1;
  if (place == CLUA_KEYS) {
    place = (int)((uintptr_t)key / 8 % CLUA_KEYS);
    luaL_unref(machine->L, LUA_REGISTRYINDEX, machine->keys[place].reference);
    machine->keys[place].bytes = NULL;
  }
  if (machine->keys[place].bytes == NULL) {
    text t = {.bytes = key};
    if (clua_protect(machine, keep_text, &t) != LUA_OK) return 0;
    machine->keys[place] = (clua_constant){.bytes = key, .reference = t.reference};
  }
  lua_rawgeti(machine->L, LUA_REGISTRYINDEX, machine->keys[place].reference);
  return 1;
}

// Pushes the value at a key of a context, above one other: its type, or LUA_TNONE: no memory, nothing was pushed.
static int push_member(clua_machine *machine, int context, const char *key) {
  lua_State *L = machine->L;
  lua_rawgeti(L, LUA_REGISTRYINDEX, machine->contexts[context].reference);
  if (push_key(machine, key)) return lua_rawget(L, -2);
  lua_pop(L, 1);
  return LUA_TNONE;
}

typedef struct member {
  int reference;
  const char *key;
  const clua_value *value;
  clua_value *out;
  int capacity;
  int written;
} member;

static int get_entries(lua_State *L) {
  member *m = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, m->reference);
  m->written = clua_flatten_entries(L, m->out, m->capacity);
  return 0;
}

static int set_entries(lua_State *L) {
  member *m = lua_touserdata(L, 1);
  clua_push(L, m->value, 1);
  // The place is there already: nothing is left to fail.
  lua_rawseti(L, LUA_REGISTRYINDEX, m->reference);
  return 0;
}

static int set_member(lua_State *L) {
  member *m = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, m->reference);
  lua_pushstring(L, m->key);
  clua_push(L, m->value, 1);
  lua_rawset(L, -3);
  return 0;
}

const char *clua_context_string(clua_machine *machine, int context, const char *key, size_t *length) {
  if (!is_context(machine, context)) return NULL;
  int type = push_member(machine, context, key);
  if (type == LUA_TNONE) return NULL;
  // It stays where it is: the context has it.
  const char *bytes = type == LUA_TSTRING ? lua_tolstring(machine->L, -1, length) : NULL;
  lua_pop(machine->L, 2);
  return bytes;
}

int clua_context_set(clua_machine *machine, int context, const char *key, const clua_value *value) {
  if (!is_context(machine, context)) return -1;
  member m = {.reference = machine->contexts[context].reference, .key = key, .value = value};
  return clua_protect(machine, set_member, &m) == LUA_OK ? 0 : -1;
}

int clua_context_value(clua_machine *machine, int context, const char *key, int place, clua_value *out) {
  *out = (clua_value){.kind = CLUA_NIL};
  if (!is_context(machine, context)) return 0;
  lua_State *L = machine->L;
  int base = lua_gettop(L);
  int type = push_member(machine, context, key);
  if (type == LUA_TNONE) return -1;
  if (place != 0 && type == LUA_TTABLE) {
    clua_push_frozen(L, -1);
    lua_rawgeti(L, -1, place);
  }
  if (place == 0 || type == LUA_TTABLE) clua_flatten_plain(L, -1, out);
  lua_settop(L, base);
  return 0;
}

int clua_context_flat(clua_machine *machine, int context, clua_value *out, int capacity) {
  if (!is_context(machine, context)) return CLUA_FLAT_FULL;
  member m = {.reference = machine->contexts[context].reference, .out = out, .capacity = capacity};
  // As a slice: a script may have filled it with more than can be looked at in no time.
  return clua_run_blocked(machine, get_entries, &m) == CLUA_DONE ? m.written : CLUA_FLAT_FULL;
}

int clua_context_fill(clua_machine *machine, int context, const clua_value *map) {
  if (!is_context(machine, context) || map->kind != CLUA_MAP) return -1;
  member m = {.reference = machine->contexts[context].reference, .value = map};
  return clua_protect(machine, set_entries, &m) == LUA_OK ? 0 : -1;
}

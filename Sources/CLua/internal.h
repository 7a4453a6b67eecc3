// What the files of CLua share: the machine, its pool, and the rules of a slice (the time between clua_start or
// clua_resume and their return, in which scripts run).
//
// Called by: the files of CLua only. Never: seen by Swift.
#ifndef CLUA_INTERNAL_H
#define CLUA_INTERNAL_H

#include <lua5.4/lauxlib.h>
#include <lua5.4/lua.h>
#include <lua5.4/lualib.h>
#include <stdatomic.h>

#include "clua.h"

// MARK: Memory

enum { CLUA_POOL_CLASSES = 32 };

// The unit of limits of time, in CPU time of the thread: 2 ms, and longer in programs built with a sanitizer, whose
// code takes several times as long to do the same.
uint64_t clua_tick_nanoseconds(void);
// How far apart ticks really come: the kernel looks at CPU clocks when its own tick comes.
uint64_t clua_seen_tick_nanoseconds(void);

// CPU time of the calling thread.
uint64_t clua_thread_nanoseconds(void);

// Beside the kinds of errors.
enum { CLUA_STICKY_END = 16 };

// Why the last allocation was refused.
enum { CLUA_REFUSED_NONE, CLUA_REFUSED_TOTAL, CLUA_REFUSED_SINGLE, CLUA_REFUSED_KEYS };

typedef struct clua_chunk clua_chunk;

typedef struct clua_pool {
  clua_chunk *open[CLUA_POOL_CLASSES];  // chunks of a class that have room
  clua_chunk *spare;                    // empty ones, for any class
  int spares;
  int refused;
  size_t used;      // bytes in blocks
  size_t reserved;  // bytes taken from the system
  size_t limit;
  size_t single_limit;
  uint64_t count;    // allocations that grow, so far
  uint64_t fail_at;  // the one that fails; 0: none
  void *retry_block;  // Lua asks again after collecting garbage: that request fails too
  size_t retry_size;
} clua_pool;

void *clua_pool_allocate(void *pool, void *block, size_t old_size, size_t new_size);
void clua_pool_end(clua_pool *pool);

// MARK: The clock

struct clua_clock {
  // What runs now, innermost; NULL outside of slices. Read by the signal handler, on the same thread.
  lua_State *volatile running;
  volatile uint32_t ticks;  // of this slice
  volatile uint32_t limit;
  // The limit was seen: what goes on working is stopped after so many looks, and whatever it does some ticks later.
  volatile int suspect;
  volatile int looks;
  volatile int overdue;
  void *timer;
};

void clua_overdue_hook(lua_State *L, lua_Debug *record);
enum { CLUA_HOOK_MASK = LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT };
// Of a suspect: a look at each call and after so many instructions.
enum { CLUA_SUSPECT_MASK = LUA_MASKCALL | LUA_MASKCOUNT, CLUA_SUSPECT_INSTRUCTIONS = 100 };
// A script that takes microseconds has far less left to do than these looks, and one without an end makes them in less
// than a millisecond. Behind the ticks nobody is asked what the time was spent with.
enum { CLUA_SUSPECT_LOOKS = 500, CLUA_SUSPECT_TICKS = 3 };

// MARK: The machine

// Why a slice came back with a yield: a user's coroutine.yield leaves NONE.
enum { CLUA_SIGNAL_NONE, CLUA_SIGNAL_WAIT, CLUA_SIGNAL_END };

enum { CLUA_STATE_FREE, CLUA_STATE_PENDING, CLUA_STATE_DONE, CLUA_STATE_ENDED, CLUA_STATE_FAILED };

// What the slices of one context have taken, or of a call without one.
typedef struct clua_spending {
  uint32_t ticks;
  uint32_t waits;
  uint64_t nanoseconds;  // of the slices that were measured
} clua_spending;

// A pooled coroutine.
typedef struct clua_slot {
  lua_State *thread;  // NULL: made when needed
  int reference;
  int next;  // free list
  int state;
  int context;
  int results;
  int spoiled;  // not to be used again
  clua_spending spent;  // of a call without a context
} clua_slot;

// A context has a place in the registry once and for all, where its table stands, or `false` between two calls.
typedef struct clua_context {
  int reference;
  int is_live;
  int next;
  clua_spending spent;
} clua_context;

typedef struct clua_script {
  char *name;
  int table;
  int store;
} clua_script;

// The known fields of an object, by the address of the string of Lua that is their name: short strings are the same
// one wherever they stand, and these are kept.
typedef struct clua_fields {
  uint32_t mask;
  struct {
    const void *name;
    clua_function function;
  } entries[];
} clua_fields;

typedef struct clua_object {
  int reference;
  clua_fields *fields;
} clua_object;

// What every userdata begins with that a script can get hold of: which object it is, or which class of handles it has.
typedef struct clua_block {
  uint32_t kind;   // CLUA_OBJECT, CLUA_HANDLE
  uint32_t index;  // of the object or class
  int64_t payload;
} clua_block;

// A string of Lua that stands for bytes outside of it.
typedef struct clua_constant {
  const char *bytes;
  size_t length;
  int reference;
} clua_constant;

typedef struct clua_class {
  int reference;
  int is_value;  // has a text, and may stand in tables that are laid out flat
} clua_class;

enum { CLUA_CONSTANTS = 256, CLUA_KEYS = 8 };

enum { CLUA_MESSAGE_SIZE = 1024, CLUA_TRACEBACK_SIZE = 4096, CLUA_FRAMES = 16 };

typedef struct clua_error {
  int kind;
  int line;
  long offset;
  size_t length;
  char message[CLUA_MESSAGE_SIZE];
  char traceback[CLUA_TRACEBACK_SIZE];
} clua_error;

struct clua_machine {
  lua_State *L;
  void *context;
  clua_clock *clock;
  clua_clock idle;  // stands in where the thread has none
  clua_limits limits;

  // Of the slice that runs.
  lua_State *base;  // its pooled coroutine; NULL outside of slices
  int blocked;      // some frame between the host and the script cannot be suspended
  int signal;
  uint32_t *waits;  // how often its context has waited
  int sticky;  // CLUA_ERROR_CPU, CLUA_ERROR_MEMORY, CLUA_STICKY_END: every catch raises again
  const clua_result *answer;
  int answer_how;

  int frozen;
  int globals;  // references in the registry
  int array_reference;
  const void *array_metatable;
  const char *loading;  // name of the script that is being loaded

  clua_slot *slots;
  int slot_count, slot_capacity, free_slot;
  clua_context *contexts;
  int context_count, context_capacity;
  int ready_context;  // free ones that have their table
  int bare_context;   // free ones without
  clua_script *scripts;
  int script_count, script_capacity;
  clua_object *objects;
  int object_count, object_capacity;
  clua_class *classes;
  int class_count, class_capacity;
  clua_constant keys[CLUA_KEYS];  // of contexts
  clua_constant constants[CLUA_CONSTANTS];
  int64_t *kept;  // serials; NULL: nothing was kept yet
  int kept_reference;

  clua_error error;
  char text[CLUA_MESSAGE_SIZE];  // clua_keep
  size_t collect_at;  // bytes in use behind a call that make it collect everything
  clua_pool pool;
};

static inline clua_machine *clua_of(lua_State *L) { return *(clua_machine **)lua_getextraspace(L); }

// Calls `function` with `argument` as light userdata, outside of any script. Returns Lua's status; the stack is as
// before.
int clua_protect(clua_machine *machine, lua_CFunction function, void *argument);
// The array, outside of Lua, with room for one more element; NULL, and nothing has changed, when there is no memory.
void *clua_grown(void *items, int count, int *capacity, size_t size);

// MARK: Slices and limits

// Whether the running slice has used up its time, or has hit a limit before: long loops in C ask, and raise.
int clua_is_overdue(lua_State *L);
// Raises what a script that has hit a limit gets, again and again.
int clua_raise_limit(lua_State *L);
// Raises if the slice is overdue. For loops in C.
static inline void clua_checkpoint(lua_State *L, lua_Unsigned step) {
  if ((step & 255) == 255 && clua_is_overdue(L)) clua_raise_limit(L);
}
// After something was caught, or came back: a limit that was hit is raised again. `status` is Lua's; the error is on
// the top.
void clua_recheck(lua_State *L, int status);
// The clock watches this coroutine from now on.
static inline void clua_enter(clua_machine *machine, lua_State *L) {
  clua_clock *clock = machine->clock;
  clock->running = L;
  atomic_signal_fence(memory_order_seq_cst);
  if (clock->overdue) {
    lua_sethook(L, clua_overdue_hook, CLUA_HOOK_MASK, 1);
  } else if (clock->suspect) {
    lua_sethook(L, clua_overdue_hook, CLUA_SUSPECT_MASK, CLUA_SUSPECT_INSTRUCTIONS);
  }
}
static inline int clua_may_wait(clua_machine *machine, lua_State *L) {
  return !machine->blocked && lua_isyieldable(L);
}

// MARK: Errors

void clua_error_clear(clua_machine *machine);
void clua_error_set(clua_machine *machine, int kind, const char *message);
// Writes down what went wrong in `L`, whose stack still stands; the error object is on its top.
void clua_error_take(clua_machine *machine, lua_State *L, int status);
// Writes down that a limit was hit at the place where `L` is now.
// A host function wanted to end the script where that cannot be done at once.
void clua_error_unended(clua_machine *machine, lua_State *L);
// The context has waited as often as it may.
void clua_error_waits(clua_machine *machine, lua_State *L);
void clua_error_limit(clua_machine *machine, lua_State *L, int kind);
// Pushes "file:line: " of the innermost function of a script, or nothing where there is none.
void clua_push_place(lua_State *L);
// luaL_error, with that place in front also when C stands between.
int clua_raise(lua_State *L, const char *format, ...);
// Writes down that a context has no time left for this function, or for what `L` waits in. `nanoseconds` were measured.
void clua_error_spent(clua_machine *machine, lua_State *L, int function, uint64_t nanoseconds);
// Whether the value on the top says that there was no memory.
int clua_is_memory_error(lua_State *L, int status);

// MARK: Values

// Pushes `count` values from the beginning of `values`; returns where the next begins.
const clua_value *clua_push(lua_State *L, const clua_value *values, uint32_t count);
int clua_kind(lua_State *L, int index);
int clua_flatten(lua_State *L, int index, clua_value *out, int capacity);
// A string, a number or a boolean, without a table; 0: something else, of which only the kind was written.
int clua_flatten_plain(lua_State *L, int index, clua_value *out);
// The entries of the table on the top that clua_context_flat tells of. Raises when the slice is overdue.
int clua_flatten_entries(lua_State *L, clua_value *out, int capacity);

// MARK: Host functions, the sandbox

void clua_push_function(lua_State *L, clua_function function);
// Pushes a read-only view of the table on the top, in its place; `name` is how errors call it.
void clua_protect_table(lua_State *L, const char *name);
int clua_is_protected(lua_State *L, int index);
// The same for a value: a view that also has a length and can be gone through, and that is laid out flat as what is
// behind it.
void clua_freeze_table(lua_State *L);
// Pushes the table behind a frozen one, and returns 1; pushes nothing for all else.
int clua_push_frozen(lua_State *L, int index);
// The table behind the view on the top, in its place.
void clua_unwrap_table(lua_State *L);
// Fills the machine's globals. Called protected, once.
void clua_open_globals(lua_State *L);
// Pushes the environment of a new script and, below it, its store of globals.
void clua_push_environment(lua_State *L);
// Gives the stores of all scripts what the globals hold, so that they are found at once.
void clua_flatten_stores(lua_State *L);

int clua_load_text(lua_State *L);
int clua_open_tables(lua_State *L);
int clua_open_coroutines(lua_State *L);
// Written in strings.c: leaves the string library on the stack and makes it the index of strings; returns 1.
int clua_open_strings(lua_State *L);

// MARK: Calls

// Runs a function of the machine's own, with `argument` as light userdata, as a slice of its own on a pooled
// coroutine that may not wait. Returns CLUA_DONE or CLUA_FAILED.
int clua_run_blocked(clua_machine *machine, lua_CFunction function, void *argument);

#endif

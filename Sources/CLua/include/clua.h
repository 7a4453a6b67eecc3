// Lua 5.4 for untrusted scripts, as C that Swift can call. Everything that may raise a Lua error (and so jump) happens
// here and never while a Swift frame is on the stack below it: Swift host functions fill a plain result, the
// trampoline pushes, raises and yields.
//
// Owns: machines (lua_State with pool allocator and limits), the sandbox, coroutines and contexts of calls, the CPU
// clock. Called by: LuaBridge, and host functions for their arguments. Never: knows HTTP or Edge.
//
// Nothing here is safe for two threads at once but what says so: a machine is used by one thread at a time.
#ifndef CLUA_H
#define CLUA_H

#include <stddef.h>
#include <stdint.h>

typedef struct lua_State lua_State;
typedef struct clua_machine clua_machine;
typedef struct clua_clock clua_clock;

// MARK: Values

// A value, or the beginning of one: members of lists and maps follow it in the same array.
enum {
  CLUA_NIL,
  CLUA_BOOLEAN,
  CLUA_INTEGER,
  CLUA_NUMBER,
  CLUA_STRING,
  // The null of JSON: `edge.json.null`, the light userdata NULL.
  CLUA_NULL,
  // `count` values follow.
  CLUA_LIST,
  // `count` pairs follow, each a string and a value.
  CLUA_MAP,
  // Arguments and results only: the object with the index `count` (see clua_define_object).
  CLUA_OBJECT,
  // Arguments only: the context table of the call.
  CLUA_CONTEXT,
  // A handle of the class with the index `count`; its payload is `as.integer` (see clua_define_class).
  CLUA_HANDLE,
  // Into Lua only: a string whose bytes stay what and where they are as long as the machine lives. One that comes
  // often is the same string of Lua each time.
  CLUA_CONSTANT,
  // Results only: what the machine keeps in the place `count`, below CLUA_KEPT_MAX (see clua_keeps). CLUA_KEEP is put
  // there first: the value that follows, read-only with all that is in it, under the serial `as.integer`; in a place
  // beyond it is read-only and not kept.
  CLUA_KEPT,
  CLUA_KEEP,
};

enum { CLUA_KEPT_MAX = 4096 };

typedef struct clua_value {
  uint32_t kind;
  uint32_t count;
  size_t length;  // of strings, in bytes
  union {
    int64_t integer;  // also booleans: 0, 1
    double number;
    const char *bytes;  // not terminated; must live until the value has been pushed
  } as;
} clua_value;

// MARK: Host functions

// What a host function wants done.
enum {
  CLUA_RETURN,  // the script gets the values
  CLUA_RAISE,   // the script gets an error with this text, file and line in front
  CLUA_YIELD,   // the answer comes later: clua_start or clua_resume returns CLUA_PENDING
  CLUA_END,     // the script is not continued, and cannot prevent it: they return CLUA_ENDED
};

typedef struct clua_result {
  clua_value own[4];         // for up to four plain values
  const clua_value *values;  // set to `own` by the trampoline; may be replaced
  uint32_t count;            // values at the top level; 0 when the function is called
  const char *message;       // CLUA_RAISE; copied at once
  size_t message_length;
} clua_result;

// `context` is that of the machine. Arguments are read with clua_argument_…; they stay valid until the function
// returns, after CLUA_END until clua_finish.
typedef int (*clua_function)(lua_State *L, void *context, clua_result *result);

// Number of arguments. Of a method or an object's function the first is the handle or object.
int clua_arguments(lua_State *L);
// CLUA_NIL also for what is not there; functions, coroutines and foreign userdata are -1, every table is CLUA_MAP.
int clua_argument_kind(lua_State *L, int index);
// NULL unless it is a string; numbers are not converted.
const char *clua_argument_string(lua_State *L, int index, size_t *length);
// 0 unless it is an integer, or a float with an integral value.
int clua_argument_integer(lua_State *L, int index, int64_t *value);
int clua_argument_number(lua_State *L, int index, double *value);
int clua_argument_boolean(lua_State *L, int index);  // truth as Lua has it
// 0 unless it is a handle of this class.
int clua_argument_handle(lua_State *L, int index, uint32_t class_index, int64_t *payload);

// Writes an argument of any shape as flat values; strings point into Lua and stay valid as the argument does. Reads
// raw tables only: no metamethod runs, nothing can raise. A table whose keys are 1…n is a list, one with string keys
// only a map, an empty one a map unless it is marked (edge.json.array). Returns how many values were written or one
// of the reasons below.
enum {
  CLUA_FLAT_FULL = -1,         // more than `capacity`
  CLUA_FLAT_DEEP = -2,         // more than 100 tables inside each other
  CLUA_FLAT_KEY = -3,          // a key that is neither a string nor part of a sequence
  CLUA_FLAT_UNSUPPORTED = -4,  // a function, coroutine, object or handle without a text
  CLUA_FLAT_LARGE = -5,        // strings of more than 2 MiB together, one that stands twice counted twice
};
int clua_argument_flat(lua_State *L, int index, clua_value *out, int capacity);
// The index of the object that an argument is; -1 for all else.
int clua_argument_object(lua_State *L, int index);
// The members of a list of strings; returns how many, or -1: it is none, or has more than `capacity`.
int clua_argument_texts(lua_State *L, int index, clua_value *out, int capacity);
// Whether the machine that runs keeps a value in this place under this serial, which is not 0.
int clua_keeps(lua_State *L, uint32_t place, int64_t serial);

// File and line of the script that called the host function, as "policies/auth.lua:12"; empty when unknown. Written
// into `text`, returns its length.
size_t clua_caller(lua_State *L, char *text, size_t capacity);
// Whether CLUA_YIELD and CLUA_END would be obeyed here; else they become an error of the script: inside a callback of
// table.sort or string.gsub, or while a script is loaded. To be asked before something is begun that must be awaited.
int clua_may_pause(lua_State *L);
// Keeps a copy of a message until the host function has returned, cut to 1 KiB. Returns where it is.
const char *clua_keep(lua_State *L, const char *text, size_t *length);

// MARK: The clock

// Counts the CPU time of the calling thread and stops scripts that take too much of it. One per thread that runs
// scripts, made and ended on that thread. NULL: errno says why.
clua_clock *clua_clock_start(void);
void clua_clock_end(clua_clock *clock);

// MARK: Machines

typedef struct clua_limits {
  size_t memory_bytes;  // of everything in the machine
  size_t string_bytes;  // of one allocation: a string, the array part of a table
  uint32_t slice_ticks;     // a slice that is seen by this many ticks of 2 ms (4 ms on a kernel of 250 Hz) is overdue
  uint32_t exchange_ticks;  // ticks that all slices of one context may take
  uint32_t exchange_waits;  // how often all calls of one context may wait; no catch goes on behind that
} clua_limits;

// NULL when there is no memory. `context` goes to every host function.
clua_machine *clua_open(clua_limits limits, void *context);
void clua_close(clua_machine *machine);
// Other amounts of CPU time from now on: what is loaded once may take longer than what answers a request.
void clua_set_ticks(clua_machine *machine, uint32_t slice_ticks, uint32_t exchange_ticks);
void clua_set_context(clua_machine *machine, void *context);
// The clock of the thread that uses the machine from now on.
void clua_set_clock(clua_machine *machine, clua_clock *clock);
size_t clua_memory_used(clua_machine *machine);
// Tests: the allocation with this number (counted from 1, from now on) fails once; 0: none.
void clua_fail_allocation(clua_machine *machine, uint64_t number);
uint64_t clua_allocations(clua_machine *machine);
// The same for the next clua_open of this thread.
void clua_fail_opening(uint64_t number);
// Collects garbage, outside any request: all of it, or what is young. Returns the bytes in use after it. Where a call
// leaves more than half of the memory in use, everything is collected by itself.
size_t clua_collect(clua_machine *machine, int full);

// Definitions come before the first script. Return 0, or -1 for no memory.
// A function at a dotted path below the globals: "edge.jwt.verify".
int clua_define(clua_machine *machine, const char *path, clua_function function);
int clua_define_value(clua_machine *machine, const char *path, const clua_value *value);
// A value of its own whose fields are computed when they are asked for. `names` and `functions` are its known fields
// (called with object and key); `index` answers all others, called with object and key, or is NULL: then asking is an
// error that names the field. `assign` is called with object, key and value, or is NULL: then assigning is an error.
// Returns its index, or -1.
int clua_define_object(
    clua_machine *machine, const char *name, const char *const *names, const clua_function *functions, int count,
    clua_function index, clua_function assign);
// Values with methods and a number inside that scripts cannot see. `text` is what `tostring` calls with the handle, or
// NULL; handles that have one are values and may stand in tables that are laid out flat. Returns the index of the
// class, or -1.
int clua_define_class(
    clua_machine *machine, const char *name, const char *const *names, const clua_function *functions, int count,
    clua_function text);

// MARK: Scripts

// Compiles a script (text only) and runs its top level, which must return a table. `name` is how messages call the
// file. Each load is a script of its own, with globals of its own, even of the same text. Calls that wait are errors.
// Returns its index (from 0), or -1: clua_error_… say why.
int clua_load(clua_machine *machine, const char *name, const char *source, size_t length);
// Calls back for each key of the script's table, in no order: `kind` is CLUA_… of the key's value, -1 for a function.
void clua_keys(
    clua_machine *machine, int script, void *target,
    void (*each)(void *target, const char *name, size_t length, int kind));
// The function at a key of the script's table; -1 when there is none.
int clua_script_function(clua_machine *machine, int script, const char *name);
// From now on a write to a global of any script is an error that names file and line. After the last `init`.
void clua_freeze(clua_machine *machine);

// MARK: Calls

// How a call goes on.
enum {
  CLUA_DONE,     // returned; clua_returned_… until clua_finish
  CLUA_PENDING,  // a host function wants to answer later; clua_resume goes on, clua_finish abandons
  CLUA_ENDED,    // a host function has ended it; its arguments are valid until clua_finish
  CLUA_FAILED,   // raised, took too much CPU or memory; clua_error_… until the next call into the machine
};

typedef struct clua_call {
  int32_t function;   // clua_script_function
  int32_t context;    // of clua_context_new, or -1: a fresh table that goes with the call
  int32_t coroutine;  // written: which one runs it, for the functions below; -1: it could not begin
} clua_call;

// A table that lives through several calls and is not seen by others; -1: no memory. Its CPU time is counted
// together.
int clua_context_new(clua_machine *machine);
// From now on it may take all of its CPU time again, and wait as often.
void clua_context_refill(clua_machine *machine, int context);
void clua_context_end(clua_machine *machine, int context);
// The string at a key, raw; NULL when there is none. Valid until the context changes. Here and below a key must stay
// what and where it is as long as the machine lives.
const char *clua_context_string(clua_machine *machine, int context, const char *key, size_t *length);
// The value at a key, raw, or the member of the list there when `member` is not 0: its kind, and what it is when it is
// a string, a number or a boolean. Returns 0, or -1 for no memory.
int clua_context_value(clua_machine *machine, int context, const char *key, int member, clua_value *out);
// Sets a plain value at a key. Returns 0, or -1 for no memory.
int clua_context_set(clua_machine *machine, int context, const char *key, const clua_value *value);
// Writes the entries that another machine can be given: a map of names with strings, numbers, booleans and lists of
// these; whatever else stands in the context is left out. An empty table is an empty map, or a list when it is marked.
// Reads raw; strings are valid until the context changes. Returns how many values were written, or CLUA_FLAT_FULL: more
// than `capacity`, or more than can be looked at in a slice.
int clua_context_flat(clua_machine *machine, int context, clua_value *out, int capacity);
// Makes the context the table that a map says. Returns 0, or -1 for no memory: it is as it was.
int clua_context_fill(clua_machine *machine, int context, const clua_value *map);

// Runs until it returns, ends, fails or waits. Every call that has a coroutine is finished once, whatever became of it;
// one that returned nothing has none any more.
int clua_start(clua_machine *machine, clua_call *call, const clua_value *arguments, int count);
// The answer to what it waited for: CLUA_RETURN with values, or CLUA_RAISE with a message.
int clua_resume(clua_machine *machine, const clua_call *call, int how, const clua_result *answer);
void clua_finish(clua_machine *machine, clua_call *call);
// What the first value is that the call returned, as clua_argument_kind says it; and its flat form.
int clua_returned_kind(clua_machine *machine, const clua_call *call);
int clua_returned_flat(clua_machine *machine, const clua_call *call, clua_value *out, int capacity);

// What went wrong: one line, with file and line in front where they are known; the traceback, empty when there is
// none; the line in the named script, 0 when unknown; for syntax errors the offset of the offending byte, else -1;
// whether a limit was hit.
enum { CLUA_ERROR_SCRIPT, CLUA_ERROR_CPU, CLUA_ERROR_MEMORY };
const char *clua_error_message(clua_machine *machine);
const char *clua_error_traceback(clua_machine *machine);
int clua_error_line(clua_machine *machine);
long clua_error_offset(clua_machine *machine);
int clua_error_kind(clua_machine *machine);

#endif

// What went wrong, in fixed buffers: message, traceback, line. Needs no memory of Lua, since that may be what is gone.
//
// Owns: clua_error of the machine. Called by: calls.c and the catching functions of the sandbox. Never: runs
// metamethods, or raises but in clua_raise.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

const char *clua_error_message(clua_machine *machine) { return machine->error.message; }

const char *clua_error_traceback(clua_machine *machine) { return machine->error.traceback; }

int clua_error_line(clua_machine *machine) { return machine->error.line; }

long clua_error_offset(clua_machine *machine) { return machine->error.offset; }

int clua_error_kind(clua_machine *machine) { return machine->error.kind; }

void clua_error_clear(clua_machine *machine) {
  clua_error *error = &machine->error;
  error->kind = CLUA_ERROR_SCRIPT;
  error->line = 0;
  error->offset = -1;
  error->length = 0;
  error->message[0] = 0;
  error->traceback[0] = 0;
}

// Appends bytes, cut where the buffer ends; whatever would break the line becomes a space.
static void append(clua_error *error, const char *bytes, size_t length) {
  size_t room = CLUA_MESSAGE_SIZE - 1 - error->length;
  if (length > room) {
    length = room;
    // Not within a character.
    while (length > 0 && ((unsigned char)bytes[length] & 0xc0) == 0x80) length -= 1;
  }
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = (unsigned char)bytes[i];
    error->message[error->length + i] = byte < 0x20 || byte == 0x7f ? ' ' : (char)byte;
  }
  error->length += length;
  error->message[error->length] = 0;
}

static void append_text(clua_error *error, const char *text) { append(error, text, strlen(text)); }

__attribute__((format(printf, 2, 3))) static void append_format(clua_error *error, const char *format, ...) {
  char buffer[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(buffer, sizeof(buffer), format, arguments);
  va_end(arguments);
  append_text(error, buffer);
}

void clua_error_set(clua_machine *machine, int kind, const char *message) {
  clua_error_clear(machine);
  machine->error.kind = kind;
  append_text(&machine->error, message);
}

// The innermost function that is written in Lua; 0 when there is none.
static int lua_frame(lua_State *L, lua_Debug *record) {
  for (int level = 0; lua_getstack(L, level, record); level++) {
    lua_getinfo(L, "Sl", record);
    if (record->currentline > 0) return 1;
  }
  return 0;
}

// The name of a chunk as the host gave it; Lua's own short form is cut.
static const char *chunk_name(const lua_Debug *record) {
  return record->source[0] == '@' || record->source[0] == '=' ? record->source + 1 : record->short_src;
}

static size_t frame_text(lua_Debug *record, char *out, size_t room) {
  int length;
  if (record->currentline > 0) {
    length = snprintf(out, room, "%.200s:%d: in ", chunk_name(record), record->currentline);
  } else {
    length = snprintf(out, room, "[C]: in ");
  }
  if (length < 0 || (size_t)length >= room) return 0;
  char *rest = out + length;
  size_t left = room - (size_t)length;
  int more;
  if (record->name != NULL) {
    more = snprintf(rest, left, "%s '%.60s'", *record->namewhat ? record->namewhat : "function", record->name);
  } else if (*record->what == 'm') {
    more = snprintf(rest, left, "main chunk");
  } else if (*record->what == 'C') {
    more = snprintf(rest, left, "function");
  } else {
    more = snprintf(rest, left, "function at line %d", record->linedefined);
  }
  return more < 0 || (size_t)more >= left ? 0 : (size_t)(length + more);
}

static void take_traceback(clua_machine *machine, lua_State *L) {
  char *out = machine->error.traceback;
  size_t used = 0;
  lua_Debug record;
  for (int level = 0; level < CLUA_FRAMES && lua_getstack(L, level, &record); level++) {
    if (used + 1 >= CLUA_TRACEBACK_SIZE) break;
    lua_getinfo(L, "Sln", &record);
    // The function of the machine's own that a call may begin with.
    lua_Debug below;
    if (record.name == NULL && *record.what == 'C' && !lua_getstack(L, level + 1, &below)) break;
    size_t start = used == 0 ? 0 : used + 1;
    size_t length = frame_text(&record, out + start, CLUA_TRACEBACK_SIZE - start);
    if (length == 0) break;
    if (used > 0) out[used] = '\n';
    used = start + length;
  }
  out[used] = 0;
  for (size_t i = 0; i < used; i++) {
    if ((unsigned char)out[i] < 0x20 && out[i] != '\n') out[i] = ' ';
  }
  if (lua_getstack(L, CLUA_FRAMES, &record) && used + 5 < CLUA_TRACEBACK_SIZE) memcpy(out + used, "\n...", 5);
}

// How Lua writes the name of a chunk in messages: the end of a long one.
static const char *short_name(const char *name, char *out) {
  size_t length = strlen(name);
  if (length < LUA_IDSIZE) return name;
  snprintf(out, LUA_IDSIZE, "...%s", name + length - (LUA_IDSIZE - 4));
  return out;
}

// Takes "name:12:" off the front of a message: the line, and the message behind the name. 0 when it begins otherwise.
static int named_line(const char *name, const char **message) {
  char buffer[LUA_IDSIZE];
  const char *shown = short_name(name, buffer);
  size_t length = strlen(shown);
  if (strncmp(*message, shown, length) != 0 || (*message)[length] != ':') return 0;
  char *end;
  long line = strtol(*message + length + 1, &end, 10);
  if (end == *message + length + 1 || *end != ':' || line <= 0) return 0;
  *message += length;
  return (int)line;
}

// The message with the full name of its script in front, and the line.
static void take_message(clua_machine *machine, const char *message, size_t length) {
  clua_error *error = &machine->error;
  const char *rest = message;
  for (int i = machine->loading != NULL ? -1 : 0; i < machine->script_count; i++) {
    const char *name = i < 0 ? machine->loading : machine->scripts[i].name;
    error->line = named_line(name, &rest);
    if (error->line == 0) continue;
    append_text(error, name);
    break;
  }
  append(error, rest, length - (size_t)(rest - message));
}

void clua_push_place(lua_State *L) {
  lua_Debug record;
  if (lua_frame(L, &record)) {
    lua_pushfstring(L, "%s:%d: ", record.short_src, record.currentline);
  } else {
    lua_pushliteral(L, "");
  }
}

int clua_raise(lua_State *L, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  clua_push_place(L);
  lua_pushvfstring(L, format, arguments);
  va_end(arguments);
  lua_concat(L, 2);
  return lua_error(L);
}

// The innermost function that stands in a script's file: where a text that was given to `load` runs, its line says
// little.
static int file_frame(lua_State *L, lua_Debug *record) {
  for (int level = 0; lua_getstack(L, level, record); level++) {
    lua_getinfo(L, "Sl", record);
    if (record->currentline > 0 && record->source[0] == '@') return 1;
  }
  return lua_frame(L, record);
}

static void append_place(clua_error *error, lua_State *L) {
  lua_Debug record;
  // A coroutine may run nothing but a function of C.
  if (!file_frame(L, &record)) {
    lua_State *base = clua_of(L)->base;
    if (base == NULL || !lua_frame(base, &record)) return;
  }
  error->line = record.currentline;
  append_format(error, "%.200s:%d: ", chunk_name(&record), record.currentline);
}

int clua_is_memory_error(lua_State *L, int status) {
  if (status == LUA_ERRMEM) return 1;
  // lauxlib's buffers raise this text, not the status.
  if (status != LUA_ERRRUN || lua_type(L, -1) != LUA_TSTRING) return 0;
  return strcmp(lua_tostring(L, -1), "not enough memory") == 0;
}

static void append_time(clua_error *error, uint64_t nanoseconds) {
  append_format(error, "took about %llu ms of CPU time", (unsigned long long)((nanoseconds + 999999) / 1000000));
}

void clua_error_spent(clua_machine *machine, lua_State *L, int function, uint64_t nanoseconds) {
  clua_error *error = &machine->error;
  clua_error_clear(machine);
  error->kind = CLUA_ERROR_CPU;
  lua_Debug record;
  if (lua_frame(L, &record)) {
    append_place(error, L);
  } else {
    lua_rawgeti(L, LUA_REGISTRYINDEX, function);
    lua_getinfo(L, ">S", &record);
    error->line = record.linedefined;
    append_format(error, "%.200s:%d: ", chunk_name(&record), record.linedefined);
  }
  // Either the measured slices made it so many ticks, or those that were seen.
  uint32_t ticks = machine->limits.exchange_ticks;
  int is_measured = nanoseconds >= ticks * clua_tick_nanoseconds();
  append_time(error, is_measured ? nanoseconds : ticks * clua_seen_tick_nanoseconds());
}

void clua_error_limit(clua_machine *machine, lua_State *L, int kind) {
  clua_error *error = &machine->error;
  // An overdue script is refused memory as well.
  if (machine->clock->overdue) kind = CLUA_ERROR_CPU;
  clua_error_clear(machine);
  machine->sticky = kind;
  error->kind = kind;
  append_place(error, L);
  if (kind == CLUA_ERROR_CPU) {
    const clua_clock *clock = machine->clock;
    // Of an exchange that has less left than a slice: with all that it took before.
    uint32_t before = clock->limit < machine->limits.slice_ticks ? machine->limits.exchange_ticks - clock->limit : 0;
    append_time(error, (before + clock->ticks) * clua_seen_tick_nanoseconds());
  } else if (machine->pool.refused == CLUA_REFUSED_SINGLE) {
    size_t limit = machine->limits.string_bytes / 1024;
    append_format(error, "not enough memory: a string, table or stack may take %zu KiB", limit);
  } else if (machine->pool.refused == CLUA_REFUSED_KEYS) {
    append_text(error, "not enough memory: a table may have 8192 keys beside its sequence");
  } else if (machine->pool.refused == CLUA_REFUSED_TOTAL) {
    append_format(error, "not enough memory: the scripts may take %zu KiB", machine->limits.memory_bytes / 1024);
  } else {
    append_text(error, "not enough memory");
  }
  take_traceback(machine, L);
}

// An error of the script that it cannot catch.
static void stop(clua_machine *machine, lua_State *L, const char *message) {
  if (machine->sticky) return;
  clua_error *error = &machine->error;
  clua_error_clear(machine);
  machine->sticky = CLUA_STICKY_END;
  error->kind = CLUA_ERROR_SCRIPT;
  append_place(error, L);
  append_text(error, message);
  take_traceback(machine, L);
}

void clua_error_unended(clua_machine *machine, lua_State *L) {
  stop(machine, L, "cannot answer here: the caller cannot be suspended");
}

void clua_error_waits(clua_machine *machine, lua_State *L) {
  char message[64];
  snprintf(message, sizeof(message), "waited more than %u times in one exchange", machine->limits.exchange_waits);
  stop(machine, L, message);
}

void clua_error_take(clua_machine *machine, lua_State *L, int status) {
  if (machine->sticky) return;
  if (clua_is_memory_error(L, status)) {
    clua_error_limit(machine, L, CLUA_ERROR_MEMORY);
    return;
  }
  clua_error *error = &machine->error;
  clua_error_clear(machine);
  if (lua_type(L, -1) == LUA_TSTRING) {
    size_t length;
    const char *message = lua_tolstring(L, -1, &length);
    take_message(machine, message, length);
    if (error->line == 0) {
      lua_Debug record;
      if (lua_frame(L, &record)) error->line = record.currentline;
    }
  } else {
    append_place(error, L);
    if (lua_isinteger(L, -1)) {
      append_format(error, "error object is the number %lld", lua_tointeger(L, -1));
    } else if (lua_type(L, -1) == LUA_TNUMBER) {
      append_format(error, "error object is the number %.14g", lua_tonumber(L, -1));
    } else {
      append_format(error, "error object is a %s value", lua_typename(L, lua_type(L, -1)));
    }
  }
  take_traceback(machine, L);
}

size_t clua_caller(lua_State *L, char *text, size_t capacity) {
  lua_Debug record;
  if (capacity == 0) return 0;
  text[0] = 0;
  // Level 0 is the host function.
  for (int level = 1; lua_getstack(L, level, &record); level++) {
    lua_getinfo(L, "Sl", &record);
    if (record.currentline <= 0) continue;
    int length = snprintf(text, capacity, "%s:%d", chunk_name(&record), record.currentline);
    return length < 0 ? 0 : (size_t)length < capacity ? (size_t)length : capacity - 1;
  }
  return 0;
}

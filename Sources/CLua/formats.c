// string.format, looking at the machine's clock: a single call can be given a million numbers, each of which takes a
// microsecond to write.
//
// Owns: nothing. Called by: scripts. Never: hands a conversion to C that Lua would not allow.
#include "matching.h"
#include "strings.h"

#include <ctype.h>
#include <lua5.4/lauxlib.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
  // Of a conversion's text: flags, two digits, a dot and two digits, and room for a length modifier.
  CONVERSION_MAX = 32,
  FLAGS_MAX = CONVERSION_MAX - 10,
  // A number of 309 digits, 99 more behind the dot.
  ITEM_MAX = 512,
  // Strings from here on are not padded.
  LONG_STRING = 100,
  // What writing a number counts, in steps of the matcher.
  NUMBER_STEPS = 64,
};

typedef struct formatting {
  lua_State *L;
  luaL_Buffer buffer;
  clua_steps steps;
  int argument;
  char conversion[CONVERSION_MAX];  // from the percent sign to the letter
  size_t length;                    // of it
} formatting;

// MARK: Conversions

// Reads a conversion, `p` being behind its percent sign. Returns where its letter stands.
static const char *read_conversion(formatting *f, const char *p) {
  size_t length = strspn(p, "-+ #0123456789.") + 1;
  if (length >= FLAGS_MAX) luaL_error(f->L, "invalid format (too long)");
  f->conversion[0] = '%';
  memcpy(f->conversion + 1, p, length);
  f->conversion[length + 1] = '\0';
  f->length = length + 1;
  return p + length - 1;
}

static const char *skip_two_digits(const char *p) {
  for (int i = 0; i < 2 && isdigit((unsigned char)*p); i++) p++;
  return p;
}

// Raises unless the conversion has these flags only, then a width, then, where that makes sense, a precision.
static void check_conversion(formatting *f, const char *flags, int may_have_precision) {
  const char *p = f->conversion + 1;
  p += strspn(p, flags);
  if (*p != '0') {
    p = skip_two_digits(p);
    if (*p == '.' && may_have_precision) p = skip_two_digits(p + 1);
  }
  if (!isalpha((unsigned char)*p)) luaL_error(f->L, "invalid conversion specification: '%s'", f->conversion);
}

// MARK: Values

static void add_integer(formatting *f, const char *flags) {
  lua_Integer n = luaL_checkinteger(f->L, f->argument);
  check_conversion(f, flags, 1);
  // The length modifier goes before the letter.
  char letter = f->conversion[f->length - 1];
  strcpy(f->conversion + f->length - 1, LUA_INTEGER_FRMLEN);
  size_t length = strlen(f->conversion);
  f->conversion[length] = letter;
  f->conversion[length + 1] = '\0';
  char item[ITEM_MAX];
  luaL_addlstring(&f->buffer, item, (size_t)snprintf(item, sizeof item, f->conversion, n));
}

static void add_float(formatting *f) {
  int is_hexadecimal = f->conversion[f->length - 1] == 'a' || f->conversion[f->length - 1] == 'A';
  // Lua's order, which shows in which error comes first.
  if (is_hexadecimal) check_conversion(f, "-+ #0", 1);
  lua_Number n = luaL_checknumber(f->L, f->argument);
  if (!is_hexadecimal) check_conversion(f, "-+ #0", 1);
  char item[ITEM_MAX];
  luaL_addlstring(&f->buffer, item, (size_t)snprintf(item, sizeof item, f->conversion, n));
}

static void add_character(formatting *f) {
  check_conversion(f, "-", 0);
  int c = (int)luaL_checkinteger(f->L, f->argument);
  char item[ITEM_MAX];
  luaL_addlstring(&f->buffer, item, (size_t)snprintf(item, sizeof item, f->conversion, c));
}

static void add_pointer(formatting *f) {
  check_conversion(f, "-", 0);
  const void *pointer = lua_topointer(f->L, f->argument);
  char item[ITEM_MAX];
  int length;
  if (pointer) {
    length = snprintf(item, sizeof item, f->conversion, pointer);
  } else {
    f->conversion[f->length - 1] = 's';
    length = snprintf(item, sizeof item, f->conversion, "(null)");
  }
  luaL_addlstring(&f->buffer, item, (size_t)length);
}

static void add_string(formatting *f) {
  lua_State *L = f->L;
  size_t length;
  const char *s = luaL_tolstring(L, f->argument, &length);
  if (f->length == 2) {
    luaL_addvalue(&f->buffer);
    return;
  }
  clua_steps_take(L, &f->steps, length >> 4);
  luaL_argcheck(L, !memchr(s, '\0', length), f->argument, "string contains zeros");
  check_conversion(f, "-", 1);
  if (length >= LONG_STRING && !strchr(f->conversion, '.')) {
    luaL_addvalue(&f->buffer);
    return;
  }
  char item[ITEM_MAX];
  int item_length = snprintf(item, sizeof item, f->conversion, s);
  lua_pop(L, 1);
  luaL_addlstring(&f->buffer, item, (size_t)item_length);
}

// MARK: Literals

static void add_quoted(formatting *f) {
  size_t length;
  const char *s = lua_tolstring(f->L, f->argument, &length);
  luaL_Buffer *buffer = &f->buffer;
  luaL_addchar(buffer, '"');
  for (const char *end = s + length; s < end; s++) {
    if (*s == '"' || *s == '\\' || *s == '\n') {
      luaL_addchar(buffer, '\\');
      luaL_addchar(buffer, *s);
    } else if (iscntrl((unsigned char)*s)) {
      char item[8];
      // Three digits when another follows.
      snprintf(item, sizeof item, isdigit((unsigned char)s[1]) ? "\\%03d" : "\\%d", (unsigned char)*s);
      luaL_addstring(buffer, item);
    } else {
      luaL_addchar(buffer, *s);
    }
  }
  luaL_addchar(buffer, '"');
}

static void add_number_literal(formatting *f) {
  char item[ITEM_MAX];
  if (lua_isinteger(f->L, f->argument)) {
    lua_Integer n = lua_tointeger(f->L, f->argument);
    // The least one cannot be written with a minus sign in front.
    const char *how = n == LUA_MININTEGER ? "0x%" LUA_INTEGER_FRMLEN "x" : LUA_INTEGER_FMT;
    snprintf(item, sizeof item, how, n);
    luaL_addstring(&f->buffer, item);
    return;
  }
  lua_Number n = lua_tonumber(f->L, f->argument);
  if (isinf(n)) {
    luaL_addstring(&f->buffer, n < 0 ? "-1e9999" : "1e9999");
  } else if (isnan(n)) {
    luaL_addstring(&f->buffer, "(0/0)");
  } else {
    snprintf(item, sizeof item, "%a", n);
    luaL_addstring(&f->buffer, item);
  }
}

static void add_literal(formatting *f) {
  lua_State *L = f->L;
  if (f->length != 2) luaL_error(L, "specifier '%%q' cannot have modifiers");
  switch (lua_type(L, f->argument)) {
    case LUA_TSTRING: add_quoted(f); break;
    case LUA_TNUMBER: add_number_literal(f); break;
    case LUA_TNIL:
    case LUA_TBOOLEAN:
      luaL_tolstring(L, f->argument, NULL);
      luaL_addvalue(&f->buffer);
      break;
    default: luaL_argerror(L, f->argument, "value has no literal form");
  }
}

// MARK: The function

static void add_conversion(formatting *f, char letter) {
  clua_steps_take(f->L, &f->steps, NUMBER_STEPS);
  switch (letter) {
    case 'c': add_character(f); break;
    case 'd':
    case 'i': add_integer(f, "-+0 "); break;
    case 'u': add_integer(f, "-0"); break;
    case 'o':
    case 'x':
    case 'X': add_integer(f, "-#0"); break;
    case 'a':
    case 'A':
    case 'e':
    case 'E':
    case 'f':
    case 'g':
    case 'G': add_float(f); break;
    case 'p': add_pointer(f); break;
    case 'q': add_literal(f); break;
    case 's': add_string(f); break;
    default: luaL_error(f->L, "invalid conversion '%s' to 'format'", f->conversion);
  }
}

int clua_string_format(lua_State *L) {
  formatting f = {.L = L, .steps = {CLUA_MATCH_STRIDE, INT64_MAX}, .argument = 1};
  int top = lua_gettop(L);
  size_t length;
  const char *p = luaL_checklstring(L, 1, &length);
  const char *end = p + length;
  luaL_buffinit(L, &f.buffer);
  while (p < end) {
    const char *percent = memchr(p, '%', (size_t)(end - p));
    if (!percent) break;
    luaL_addlstring(&f.buffer, p, (size_t)(percent - p));
    p = percent + 1;
    if (*p == '%') {
      luaL_addchar(&f.buffer, *p++);
      continue;
    }
    if (++f.argument > top) return luaL_argerror(L, f.argument, "no value");
    p = read_conversion(&f, p);
    add_conversion(&f, *p++);
  }
  luaL_addlstring(&f.buffer, p, (size_t)(end - p));
  luaL_pushresult(&f.buffer);
  return 1;
}

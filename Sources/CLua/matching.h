// Lua's patterns, matched with a limit: every comparison is counted, the machine's clock is looked at all along, and a
// pattern that goes too far is an error. What matches, what is captured and which patterns are malformed is exactly
// what Lua 5.4 says.
//
// Owns: the matcher and its captures. Called by: the string functions. Never: looks for where a match begins.
#ifndef CLUA_MATCHING_H
#define CLUA_MATCHING_H

#include <lua5.4/lua.h>
#include <stddef.h>
#include <stdint.h>

enum {
  CLUA_CAPTURES_MAX = 32,
  // Matching inside matching; as Lua has it.
  CLUA_MATCH_DEPTH = 200,
  // Steps between two looks at the clock: some 20 µs.
  CLUA_MATCH_STRIDE = 4096,
  CLUA_MATCH_STEPS_MAX = 10000000,
};

// Lengths of captures that have none.
enum { CLUA_CAPTURE_OPEN = -1, CLUA_CAPTURE_POSITION = -2 };

typedef struct clua_capture {
  const char *start;
  ptrdiff_t length;
} clua_capture;

typedef struct clua_steps {
  int64_t left;  // until the next look at the clock
  int64_t rest;  // that may be taken after it
} clua_steps;

typedef struct clua_matcher {
  lua_State *L;
  const char *subject;
  const char *end;
  const char *pattern_end;
  clua_steps steps;
  int depth;
  int level;  // captures begun
  clua_capture captures[CLUA_CAPTURES_MAX];
} clua_matcher;

// What clua_steps_take does once in a while. Raises when the script is overdue or has taken too many steps.
void clua_steps_look(lua_State *L, clua_steps *steps);

// Counts work.
static inline void clua_steps_take(lua_State *L, clua_steps *steps, size_t count) {
  steps->left -= (int64_t)count;
  if (steps->left < 0) clua_steps_look(L, steps);
}

// Both strings must be Lua's (a zero follows the last byte) and outlive the matcher.
void clua_matcher_set(
    clua_matcher *m, lua_State *L, const char *subject, size_t subject_length, const char *pattern,
    size_t pattern_length);

// Where the match that begins at `s` ends, NULL when there is none. Raises for malformed patterns.
const char *clua_match(clua_matcher *m, const char *s, const char *pattern);

// Captures of the last match, which was from `s` to `e`. The whole match stands for the first of a pattern without.
clua_capture clua_capture_at(clua_matcher *m, int index, const char *s, const char *e);
void clua_capture_push(clua_matcher *m, int index, const char *s, const char *e);
// All of them; returns how many. With `s` NULL the whole match stands for none.
int clua_captures_push(clua_matcher *m, const char *s, const char *e);

#endif

// The pattern matcher behind string.find, match, gmatch and gsub: backtracking as Lua's manual defines it, in counted
// steps.
//
// Owns: nothing; a matcher lives in its caller. Called by: patterns.c. Never: calls a script, allocates but to raise.
#include "matching.h"

#include <ctype.h>
#include <string.h>

#include "internal.h"

static const char *match_rest(clua_matcher *m, const char *s, const char *p);

// MARK: Steps

void clua_steps_look(lua_State *L, clua_steps *steps) {
  steps->rest -= CLUA_MATCH_STRIDE - steps->left;
  steps->left = CLUA_MATCH_STRIDE;
  if (clua_is_overdue(L)) clua_raise_limit(L);
  if (steps->rest < 0) luaL_error(L, "pattern too complex");
}

static inline void take(clua_matcher *m, size_t count) { clua_steps_take(m->L, &m->steps, count); }

// MARK: Single characters

static int in_class(int c, int name) {
  int found;
  switch (tolower(name)) {
    case 'a': found = isalpha(c); break;
    case 'c': found = iscntrl(c); break;
    case 'd': found = isdigit(c); break;
    case 'g': found = isgraph(c); break;
    case 'l': found = islower(c); break;
    case 'p': found = ispunct(c); break;
    case 's': found = isspace(c); break;
    case 'u': found = isupper(c); break;
    case 'w': found = isalnum(c); break;
    case 'x': found = isxdigit(c); break;
    case 'z': found = c == 0; break;  // of older Lua, not in the manual
    default: return name == c;
  }
  return isupper(name) ? !found : found != 0;
}

static inline int byte_at(const char *p) { return (unsigned char)*p; }

// `p` is at the opening bracket, `last` at the closing one.
static int in_set(clua_matcher *m, int c, const char *p, const char *last) {
  take(m, (size_t)(last - p) >> 2);
  int inside = 1;
  p++;
  if (*p == '^') {
    inside = 0;
    p++;
  }
  while (p < last) {
    if (*p == '%') {
      if (in_class(c, byte_at(p + 1))) return inside;
      p += 2;
    } else if (p[1] == '-' && p + 2 < last) {
      if (byte_at(p) <= c && c <= byte_at(p + 2)) return inside;
      p += 3;
    } else {
      if (byte_at(p) == c) return inside;
      p++;
    }
  }
  return !inside;
}

// Behind the character class that begins at `p`.
static const char *class_end(clua_matcher *m, const char *p) {
  const char *start = p;
  if (*p == '%') {
    if (p + 1 == m->pattern_end) luaL_error(m->L, "malformed pattern (ends with '%%')");
    return p + 2;
  }
  if (*p != '[') return p + 1;
  p++;
  if (*p == '^') p++;
  // A bracket that comes first is a member of the set.
  do {
    if (p == m->pattern_end) luaL_error(m->L, "malformed pattern (missing ']')");
    p += *p == '%' && p + 1 < m->pattern_end ? 2 : 1;
  } while (*p != ']');
  take(m, (size_t)(p - start) >> 2);
  return p + 1;
}

// Whether the character at `s` is of the class from `p` to `after`.
static inline int is_one(clua_matcher *m, const char *s, const char *p, const char *after) {
  take(m, 1);
  if (s >= m->end) return 0;
  switch (*p) {
    case '.': return 1;
    case '%': return in_class(byte_at(s), byte_at(p + 1));
    case '[': return in_set(m, byte_at(s), p, after - 1);
    default: return *p == *s;
  }
}

// MARK: Repetition

static const char *match_longest(clua_matcher *m, const char *s, const char *p, const char *after) {
  const char *last = s;
  while (is_one(m, last, p, after)) last++;
  for (;; last--) {
    const char *end = match_rest(m, last, after + 1);
    if (end || last == s) return end;
  }
}

static const char *match_shortest(clua_matcher *m, const char *s, const char *p, const char *after) {
  for (;; s++) {
    const char *end = match_rest(m, s, after + 1);
    if (end) return end;
    if (!is_one(m, s, p, after)) return NULL;
  }
}

// MARK: Captures

static const char *begin_capture(clua_matcher *m, const char *s, const char *p, ptrdiff_t length) {
  if (m->level == CLUA_CAPTURES_MAX) luaL_error(m->L, "too many captures");
  m->captures[m->level++] = (clua_capture){s, length};
  const char *end = match_rest(m, s, p);
  if (!end) m->level--;
  return end;
}

static const char *end_capture(clua_matcher *m, const char *s, const char *p) {
  int index = m->level - 1;
  while (index >= 0 && m->captures[index].length != CLUA_CAPTURE_OPEN) index--;
  if (index < 0) luaL_error(m->L, "invalid pattern capture");
  m->captures[index].length = s - m->captures[index].start;
  const char *end = match_rest(m, s, p);
  if (!end) m->captures[index].length = CLUA_CAPTURE_OPEN;
  return end;
}

// `%1` to `%9`: what was captured before stands here again. A position never does.
static const char *match_again(clua_matcher *m, const char *s, char digit) {
  int index = digit - '1';
  if (index < 0 || index >= m->level || m->captures[index].length == CLUA_CAPTURE_OPEN) {
    luaL_error(m->L, "invalid capture index %%%d", index + 1);
  }
  const clua_capture *capture = &m->captures[index];
  if (capture->length < 0 || m->end - s < capture->length) return NULL;
  take(m, (size_t)capture->length >> 4);
  return memcmp(capture->start, s, (size_t)capture->length) == 0 ? s + capture->length : NULL;
}

// MARK: Special items

// `%bxy`; `p` is at the x.
static const char *match_balanced(clua_matcher *m, const char *s, const char *p) {
  if (m->pattern_end - p < 2) luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
  if (s == m->end || *s != *p) return NULL;
  int64_t open = 1;
  for (s++; s < m->end; s++) {
    take(m, 1);
    // The closing one first: it may be the same character.
    if (*s == p[1]) {
      if (--open == 0) return s + 1;
    } else if (*s == *p) {
      open++;
    }
  }
  return NULL;
}

// `%f[set]`; `p` is at the bracket. Subject and pattern end with a zero, which counts as a character here.
static int is_frontier(clua_matcher *m, const char *s, const char *p, const char *after) {
  int before = s == m->subject ? 0 : byte_at(s - 1);
  return !in_set(m, before, p, after - 1) && in_set(m, byte_at(s), p, after - 1);
}

// An item that begins with `%` and is no character class. Returns 0 when it is one after all; else `*s` is behind what
// matched, or NULL, and `*p` behind the item.
static int match_special(clua_matcher *m, const char **s, const char **p) {
  const char *item = *p;
  take(m, 1);
  switch (item[1]) {
    case 'b':
      *s = match_balanced(m, *s, item + 2);
      *p = item + 4;
      return 1;
    case 'f':
      if (item[2] != '[') luaL_error(m->L, "missing '[' after '%%f' in pattern");
      *p = class_end(m, item + 2);
      if (!is_frontier(m, *s, item + 2, *p)) *s = NULL;
      return 1;
    default:
      if (!isdigit(byte_at(item + 1))) return 0;
      *s = match_again(m, *s, item[1]);
      *p = item + 2;
      return 1;
  }
}

// MARK: Matching

static const char *match_items(clua_matcher *m, const char *s, const char *p) {
  while (p != m->pattern_end) {
    if (*p == '(') {
      return p[1] == ')' ? begin_capture(m, s, p + 2, CLUA_CAPTURE_POSITION)
                         : begin_capture(m, s, p + 1, CLUA_CAPTURE_OPEN);
    }
    if (*p == ')') return end_capture(m, s, p + 1);
    if (*p == '$' && p + 1 == m->pattern_end) return s == m->end ? s : NULL;
    if (*p == '%' && match_special(m, &s, &p)) {
      if (!s) return NULL;
      continue;
    }
    const char *after = class_end(m, p);
    switch (*after) {
      case '*': return match_longest(m, s, p, after);
      case '+': return is_one(m, s, p, after) ? match_longest(m, s + 1, p, after) : NULL;
      case '-': return match_shortest(m, s, p, after);
      case '?':
        if (is_one(m, s, p, after)) {
          const char *end = match_rest(m, s + 1, after + 1);
          if (end) return end;
        }
        p = after + 1;
        break;
      default:
        if (!is_one(m, s, p, after)) return NULL;
        s++;
        p = after;
    }
  }
  return s;
}

static const char *match_rest(clua_matcher *m, const char *s, const char *p) {
  if (m->depth == 0) luaL_error(m->L, "pattern too complex");
  m->depth--;
  take(m, 1);
  const char *end = match_items(m, s, p);
  m->depth++;
  return end;
}

void clua_matcher_set(
    clua_matcher *m, lua_State *L, const char *subject, size_t subject_length, const char *pattern,
    size_t pattern_length) {
  m->L = L;
  m->subject = subject;
  m->end = subject + subject_length;
  m->pattern_end = pattern + pattern_length;
  m->steps = (clua_steps){CLUA_MATCH_STRIDE, CLUA_MATCH_STEPS_MAX};
  m->level = 0;
}

const char *clua_match(clua_matcher *m, const char *s, const char *pattern) {
  m->depth = CLUA_MATCH_DEPTH;
  m->level = 0;
  return match_rest(m, s, pattern);
}

clua_capture clua_capture_at(clua_matcher *m, int index, const char *s, const char *e) {
  if (index < m->level) {
    if (m->captures[index].length == CLUA_CAPTURE_OPEN) luaL_error(m->L, "unfinished capture");
    return m->captures[index];
  }
  if (index != 0) luaL_error(m->L, "invalid capture index %%%d", index + 1);
  return (clua_capture){s, e - s};
}

void clua_capture_push(clua_matcher *m, int index, const char *s, const char *e) {
  clua_capture capture = clua_capture_at(m, index, s, e);
  if (capture.length == CLUA_CAPTURE_POSITION) {
    lua_pushinteger(m->L, capture.start - m->subject + 1);
  } else {
    lua_pushlstring(m->L, capture.start, (size_t)capture.length);
  }
}

int clua_captures_push(clua_matcher *m, const char *s, const char *e) {
  int count = m->level == 0 && s ? 1 : m->level;
  luaL_checkstack(m->L, count, "too many captures");
  for (int i = 0; i < count; i++) clua_capture_push(m, i, s, e);
  return count;
}

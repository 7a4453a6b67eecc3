// What the load client and the origin must agree on, and the few calls both need.
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

enum {
  PAYLOAD_SIZE = 1200,  // bytes of the JSON of a request and of an answer
  MESSAGE_SIZE = 200,  // bytes of a message on a WebSocket
  PATTERN_SIZE = 1 << 18,  // after so many bytes a large body begins anew
  CHAT_EVENTS = 100,  // events of a chat's stream, whose request cannot name a number
  CHAT_GAP_US = 10000,  // µs between two of them
  EVENT_LIMIT = 256,
  TAIL_LIMIT = 768,
};

// MARK: JSON

/// A request for a model, the same for a streamed answer, and a whole answer: what the LLM path of a proxy understands
/// and any other takes for some JSON.
enum payload { REQUEST, STREAM_REQUEST, ANSWER };

/// Writes JSON of exactly PAYLOAD_SIZE bytes to `out`, without a closing NUL. The text in it counts upwards, so a part
/// that is lost, sent twice or moved never compares equal.
static inline void payload(char *out, enum payload kind) {
  static const char chat[] = "{\"model\":\"mock\",\"max_tokens\":180,\"messages\":[{\"role\":\"user\",\"content\":\"";
  static const char streamed[] =
      "{\"model\":\"mock\",\"max_tokens\":180,\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"";
  static const char answer[] =
      "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"mock\",\"choices\":"
      "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"";
  static const char answer_end[] =
      "\"},\"finish_reason\":\"stop\"}],"
      "\"usage\":{\"prompt_tokens\":212,\"completion_tokens\":180,\"total_tokens\":392}}";
  const char *heads[] = {chat, streamed, answer}, *tails[] = {"\"}]}", "\"}]}", answer_end};
  char text[PAYLOAD_SIZE + 16];
  int tail = (int)strlen(tails[kind]), size = snprintf(text, sizeof text, "%s", heads[kind]);
  for (int i = 0; size < PAYLOAD_SIZE; i++) size += snprintf(text + size, sizeof text - (size_t)size, "%04d ", i);
  memcpy(text + PAYLOAD_SIZE - tail, tails[kind], (size_t)tail);
  memcpy(out, text, PAYLOAD_SIZE);
}

// MARK: streams

/// An event of a stream: fixed text with the clock of its sending (CLOCK_MONOTONIC, ns) and its number in it.
typedef struct {
  char text[EVENT_LIMIT];
  int size, clock, number;  // where the digits stand
} event_t;

enum { CLOCK_DIGITS = 19, NUMBER_DIGITS = 6 };

static inline event_t event_text(void) {
  event_t e;
  e.size = snprintf(e.text, sizeof e.text,
                    "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                    "\"model\":\"mock\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@%019d #%06d \"},"
                    "\"finish_reason\":null}]}\n\n", 0, 0);
  e.clock = (int)(strchr(e.text, '@') - e.text) + 1;
  e.number = (int)(strchr(e.text, '#') - e.text) + 1;
  return e;
}

/// What follows the last event. With `usage` there is an event more, which the client of Edge has not asked for.
static inline int tail_text(char out[TAIL_LIMIT], int events, bool usage) {
  static const char *head = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\","
                            "\"created\":1700000000,\"model\":\"mock\",\"choices\":[";
  int size = snprintf(out, TAIL_LIMIT, "%s{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n", head);
  if (usage)
    size += snprintf(out + size, (size_t)(TAIL_LIMIT - size),
                     "%s],\"usage\":{\"prompt_tokens\":212,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n", head,
                     events, events + 212);
  return size + snprintf(out + size, (size_t)(TAIL_LIMIT - size), "data: [DONE]\n\n");
}

static inline void write_digits(char *at, int digits, uint64_t value) {
  for (int i = digits; i-- > 0; value /= 10) at[i] = (char)('0' + value % 10);
}

// MARK: large bodies

/// Fills PATTERN_SIZE bytes that repeat nowhere within themselves; a large body is this over and over.
static inline void pattern(char *out) {
  uint32_t state = 2463534242u;
  for (int i = 0; i < PATTERN_SIZE; i++) {
    state = state * 1664525u + 1013904223u;
    out[i] = (char)(state >> 24);
  }
}

/// Of `size` bytes at `offset` of a large body, those that stand in one piece in the pattern.
static inline size_t pattern_piece(uint64_t offset, size_t size) {
  size_t left = PATTERN_SIZE - (size_t)(offset % PATTERN_SIZE);
  return size < left ? size : left;
}

// MARK: the rest

static inline uint64_t read_clock(clockid_t id) {
  struct timespec t;
  if (clock_gettime(id, &t)) return 0;
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t now_ns(void) { return read_clock(CLOCK_MONOTONIC); }

/// Reads an unsigned decimal number of 1 to 18 digits and nothing else; -1 if it is anything else.
static inline int64_t decimal(const char *text, size_t size) {
  if (size < 1 || size > 18) return -1;
  int64_t value = 0;
  for (size_t i = 0; i < size; i++) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

/// Ends the program with a message and exit code 2 (wrong use, or the machine refuses something basic).
__attribute__((noreturn)) static inline void die(const char *what, const char *detail) {
  fprintf(stderr, "%s: %s\n", what, detail);
  exit(2);
}

/// An option's number in `low`...`high`, or the end of the program.
static inline int64_t number_option(const char *name, const char *text, int64_t low, int64_t high) {
  int64_t value = decimal(text, strlen(text));
  if (value < low || value > high) die(name, "not a number in its range");
  return value;
}

/// Asks the kernel to end this process when its parent dies, so that a killed benchmark leaves nothing running, and to
/// wake it when it asked to be woken, not up to 50 µs later.
static inline void settle_in(void) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  prctl(PR_SET_TIMERSLACK, 1);
}

#endif

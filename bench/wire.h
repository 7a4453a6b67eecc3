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

/// Bytes of the JSON body of a POST and of every answer.
enum { PAYLOAD_SIZE = 1200 };

/// Writes a JSON object of exactly PAYLOAD_SIZE bytes to `out`, without a closing NUL. `role` is "request" or "answer".
/// The text counts upwards, so a part that is lost, sent twice or moved never compares equal.
static inline void payload(char *out, const char *role) {
  char text[PAYLOAD_SIZE + 16];
  int size = snprintf(text, sizeof text, "{\"role\":\"%s\",\"text\":\"", role);
  for (int i = 0; size < PAYLOAD_SIZE; i++) size += snprintf(text + size, sizeof text - (size_t)size, "%04d ", i);
  memcpy(out, text, PAYLOAD_SIZE);
  memcpy(out + PAYLOAD_SIZE - 2, "\"}", 2);
}

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

/// Asks the kernel to end this process when its parent dies, so that a killed benchmark leaves nothing running.
static inline void die_with_parent(void) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
}

#endif

// What an answer must be: its status, how its end is told, and every byte of its body.
#define _GNU_SOURCE
#include "load.h"

#include <strings.h>

enum chunk { SIZE, SIZE_END, DATA, DATA_END, DATA_LINE_END, TRAILER, TRAILER_END };

static char answer[PAYLOAD_SIZE], tail[TAIL_LIMIT];
static int tail_size;
static event_t event;

void build_expected(void) {
  payload(answer, ANSWER);
  event = event_text();
  tail_size = tail_text(tail, (int)plan.events, false);
}

void forget_answer(conn_t *c) {
  free(c->partial);
  c->partial = NULL;
  c->partial_size = 0;
  c->in_body = false;
}

// MARK: bodies

/// Bytes of a stream's events: the text is fixed, but for a clock and a number that counts upwards; false: wrong.
static bool take_events(conn_t *c, const char *bytes, size_t size) {
  while (size) {
    bool in_tail = c->events == plan.events;
    int end = in_tail ? tail_size : event.size, clock_end = event.clock + CLOCK_DIGITS;
    int number_end = event.number + NUMBER_DIGITS;
    bool in_clock = !in_tail && c->at >= event.clock && c->at < clock_end;
    bool in_number = !in_tail && c->at >= event.number && c->at < number_end;
    if (in_clock || in_number) {
      if (*bytes < '0' || *bytes > '9') return false;
      uint64_t *value = in_clock ? &c->clock : &c->number;
      *value = *value * 10 + (uint64_t)(*bytes - '0');
      c->at++;
      bytes++;
      size--;
      continue;
    }
    if (!in_tail && c->at < event.clock) end = event.clock;
    else if (!in_tail && c->at < event.number) end = event.number;
    size_t piece = (size_t)(end - c->at) < size ? (size_t)(end - c->at) : size;
    if (!piece || memcmp(bytes, (in_tail ? tail : event.text) + c->at, piece)) return false;
    c->at += (int)piece;
    bytes += piece;
    size -= piece;
    if (in_tail || c->at < event.size) continue;
    if (c->number != c->events) return false;
    uint64_t now = now_ns();
    if (measuring) {
      chunks++;
      record(now > c->clock ? now - c->clock : 0);
    }
    c->events++;
    c->at = 0;
    c->clock = c->number = 0;
  }
  return true;
}

/// Bytes of the body that the answer must have; false: wrong.
static bool take_content(conn_t *c, const char *bytes, size_t size) {
  uint64_t at = c->seen;
  c->seen += size;
  if (plan.status != 200) return true;
  if (plan.mode == STREAMS) return take_events(c, bytes, size);
  if (!plan.download) return at + size <= PAYLOAD_SIZE && !memcmp(bytes, answer + at, size);
  for (size_t piece; size; bytes += piece, at += piece, size -= piece) {
    piece = pattern_piece(at, size);
    if (memcmp(bytes, sent_pattern + at % PATTERN_SIZE, piece)) return false;
  }
  return true;
}

static bool is_whole(conn_t *c) {
  return plan.status != 200 || plan.mode != STREAMS || (c->events == plan.events && c->at == tail_size);
}

/// A byte of a chunk's frame; false: wrong.
static bool take_chunk_byte(conn_t *c, char byte) {
  switch ((enum chunk)c->chunk_state) {
    case SIZE: {
      if (byte == '\r') c->chunk_state = SIZE_END;
      if (byte == '\r') return true;
      int digit = byte >= '0' && byte <= '9' ? byte - '0' : (byte | 32) >= 'a' && (byte | 32) <= 'f' ? (byte | 32) - 87
                                                                                                   : -1;
      c->left = c->left * 16 + (uint64_t)digit;
      return digit >= 0 && c->left < 1u << 30;
    }
    case SIZE_END: c->chunk_state = c->left ? DATA : TRAILER; return byte == '\n';
    case DATA: return false;
    case DATA_END: c->chunk_state = DATA_LINE_END; return byte == '\r';
    case DATA_LINE_END: c->chunk_state = SIZE; return byte == '\n';
    case TRAILER: c->chunk_state = TRAILER_END; return byte == '\r';
    case TRAILER_END: return byte == '\n';
  }
  return false;
}

/// Takes the body; the bytes that belong to it, -1 when they are wrong. `*ended` when it is whole.
static ssize_t take_body(conn_t *c, const char *bytes, size_t size, bool *ended, enum bad *why) {
  size_t at = 0;
  *why = BAD_BODY;
  while (at < size && !*ended) {
    if (c->chunked && c->chunk_state != DATA) {
      bool last = c->chunk_state == TRAILER_END;
      *why = BAD_FRAME;
      if (!take_chunk_byte(c, bytes[at++])) return -1;
      *ended = last;
      continue;
    }
    size_t piece = size - at < c->left ? size - at : (size_t)c->left;
    *why = BAD_BODY;
    if (!take_content(c, bytes + at, piece)) return -1;
    at += piece;
    c->left -= piece;
    if (c->left) continue;
    if (c->chunked) c->chunk_state = DATA_END;
    else *ended = true;
  }
  if (*ended && !is_whole(c)) return -1;
  return (ssize_t)at;
}

// MARK: heads

/// Reads the fields that decide the answer's end; false when they are not what the answer must have.
static bool read_fields(conn_t *c, const char *head, size_t size) {
  int lengths = 0, codings = 0;
  const char *end = head + size - 2, *line = memmem(head, size, "\r\n", 2);
  c->left = 0;
  for (line += 2; line < end;) {
    const char *line_end = memmem(line, (size_t)(head + size - line), "\r\n", 2);
    const char *colon = memchr(line, ':', (size_t)(line_end - line));
    if (!colon) return false;
    const char *value = colon + 1;
    while (value < line_end && *value == ' ') value++;
    size_t name = (size_t)(colon - line), length = (size_t)(line_end - value);
    if (name == 17 && !strncasecmp(line, "transfer-encoding", 17)) {
      codings++;
      if (length != 7 || strncasecmp(value, "chunked", 7)) return false;
    }
    if (name == 10 && !strncasecmp(line, "connection", 10) && length == 5 && !strncasecmp(value, "close", 5))
      c->close_after = true;
    if (name == 14 && !strncasecmp(line, "content-length", 14)) {
      int64_t number = decimal(value, length);
      if (number < 0) return false;
      lengths++;
      c->left = (uint64_t)number;
    }
    line = line_end + 2;
  }
  c->chunked = codings == 1;
  if (lengths + codings != 1) return false;
  if (plan.status != 200) return true;
  if (plan.mode == STREAMS) return c->chunked;
  return lengths && c->left == (plan.download ? plan.download : PAYLOAD_SIZE);
}

/// Takes a whole head; false when it is bad.
static bool take_head(conn_t *c, const char *head, size_t size) {
  if (c->state == OPENING) {
    if (memcmp(head, "HTTP/1.1 101 ", 13)) return fail(c, BAD_STATUS), false;
    if (!right_opening(head, size)) return fail(c, BAD_HEAD), false;
    return true;
  }
  if (memcmp(head, "HTTP/1.1 ", 9) || decimal(head + 9, 3) != plan.status) return fail(c, BAD_STATUS), false;
  if (!read_fields(c, head, size)) return fail(c, BAD_HEAD), false;
  c->in_body = true;
  c->seen = c->events = c->clock = c->number = 0;
  c->at = c->chunk_state = 0;
  return true;
}

/// Finds the head's end in what was kept and what has come; the bytes used of it, 0: more is needed, -1: bad.
static ssize_t find_head(conn_t *c, char *bytes, size_t size) {
  if (!c->partial_size) {
    const char *end = memmem(bytes, size, "\r\n\r\n", 4);
    size_t head = end ? (size_t)(end - bytes) + 4 : 0;
    if (end) return take_head(c, bytes, head) ? (ssize_t)head : -1;
  }
  size_t room = HEAD_LIMIT - c->partial_size, piece = size < room ? size : room, before = c->partial_size;
  if (!c->partial) c->partial = malloc(HEAD_LIMIT);
  if (!c->partial) die("load", "no memory");
  memcpy(c->partial + before, bytes, piece);
  c->partial_size += piece;
  const char *end = memmem(c->partial, c->partial_size, "\r\n\r\n", 4);
  if (!end && c->partial_size == HEAD_LIMIT) return fail(c, BAD_HEAD), -1;
  if (!end) return 0;
  size_t head = (size_t)(end - c->partial) + 4;
  char *whole_head = c->partial;
  c->partial = NULL;
  c->partial_size = 0;
  bool good = take_head(c, whole_head, head);
  free(whole_head);
  return good ? (ssize_t)(head - before) : -1;
}

bool take_answer(conn_t *c, char *bytes, size_t size) {
  if (!c->in_body) {
    ssize_t used = find_head(c, bytes, size);
    if (used <= 0) return used == 0;
    bytes += used;
    size -= (size_t)used;
    if (c->state == OPENING) {
      opened(c);
      return !size || take_frames(c, bytes, size);
    }
  }
  bool ended = !c->chunked && !c->left;
  enum bad why;
  ssize_t used = take_body(c, bytes, size, &ended, &why);
  if (used < 0) return fail(c, why), false;
  if ((size_t)used < size) return fail(c, BAD_BODY), false;
  if (!ended) return true;
  c->in_body = false;
  complete(c);
  return true;
}

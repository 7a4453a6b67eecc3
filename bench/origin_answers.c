// What the origin answers: 1.2 KB of JSON, streams of events, large bodies, what comes on a WebSocket; and each of them
// wrong, when asked for.
#define _GNU_SOURCE
#include "origin.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

enum { PIECE = 1 << 18, STEPS_AT_ONCE = 4096, CHUNK_LIMIT = EVENT_LIMIT + 16, RETRY_NS = 200000 };

enum fault { CUT, FLIP, STATUS, SHUT, STALL, FRAME, LOST, FAULTS };
static const char *fault_names[FAULTS] = {"cut", "flip", "status", "shut", "stall", "frame", "lost"};
static enum fault fault_kind;
static uint64_t fault_every;

typedef struct {
  char *bytes;
  size_t size;
} text_t;

static text_t right, wrong[FAULTS], refused_framing, refused_body, stream_head;
static char sent_patterns[PATTERN_SIZE], expected[2][PAYLOAD_SIZE];
static event_t event;  // with its chunk's frame around it
static const char inserted[] = "\"stream_options\":{\"include_usage\":true},";

void fault_option(const char *text) {
  const char *colon = strchr(text, ':');
  int kind = 0;
  while (kind < FAULTS && (!colon || strncmp(text, fault_names[kind], (size_t)(colon - text)))) kind++;
  if (kind == FAULTS) die("--fault", "KIND:N; the kinds stand at the top of origin_answers.c");
  fault_kind = (enum fault)kind;
  fault_every = (uint64_t)number_option("--fault", colon + 1, 1, 1000000000);
}

/// The fault of the answer, stream or message with this number; -1: it is right.
static int fault_of(uint64_t number) {
  if (!fault_every || number % fault_every) return -1;
  faulty++;
  return (int)fault_kind;
}

// MARK: what is built once

static text_t build(const char *status, const char *field, int length, int bytes, int flipped) {
  char body[PAYLOAD_SIZE], date[64];
  payload(body, ANSWER);
  if (flipped >= 0) body[flipped] ^= 1;
  time_t now = time(NULL);  // of the start: a clock read per answer would be the origin's cost, not the proxy's
  strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
  text_t text = {.bytes = malloc(512 + PAYLOAD_SIZE)};
  if (!text.bytes) die("origin", "no memory");
  const char *form = "HTTP/1.1 %s\r\nDate: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n";
  text.size = (size_t)snprintf(text.bytes, 512, form, status, date, length, field);
  memcpy(text.bytes + text.size, body, (size_t)bytes);
  text.size += (size_t)bytes;
  return text;
}

void build_answers(void) {
  static char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n";
  stream_head = (text_t){head, sizeof head - 1};
  payload(expected[REQUEST], REQUEST);
  payload(expected[STREAM_REQUEST], STREAM_REQUEST);
  pattern(sent_patterns);
  right = build("200 OK", "", PAYLOAD_SIZE, PAYLOAD_SIZE, -1);
  refused_framing = build("400 Bad Request", "Connection: close\r\n", PAYLOAD_SIZE, PAYLOAD_SIZE, -1);
  refused_body = build("422 Unprocessable Content", "Connection: close\r\n", PAYLOAD_SIZE, PAYLOAD_SIZE, -1);
  wrong[CUT] = build("200 OK", "", PAYLOAD_SIZE, PAYLOAD_SIZE / 2, -1);
  wrong[FLIP] = build("200 OK", "", PAYLOAD_SIZE, PAYLOAD_SIZE, PAYLOAD_SIZE / 2);
  wrong[STATUS] = build("500 Internal Server Error", "", PAYLOAD_SIZE, PAYLOAD_SIZE, -1);
  wrong[FRAME] = build("200 OK", "", PAYLOAD_SIZE - 1, PAYLOAD_SIZE, -1);
  event_t bare = event_text();
  int before = snprintf(event.text, sizeof event.text, "%x\r\n", bare.size);
  event.size = before + bare.size + 2;
  event.clock = before + bare.clock;
  event.number = before + bare.number;
  memcpy(event.text + before, bare.text, (size_t)bare.size);
  memcpy(event.text + before + bare.size, "\r\n", 2);
}

// MARK: requests

static int64_t query_number(const char *query, size_t size, const char *name, int64_t otherwise) {
  size_t length = strlen(name);
  for (const char *end = query + size; query < end;) {
    const char *next = memchr(query, '&', (size_t)(end - query));
    size_t piece = (size_t)((next ? next : end) - query);
    if (piece > length && query[length] == '=' && !memcmp(query, name, length)) {
      int64_t value = decimal(query + length + 1, piece - length - 1);
      return value < 0 ? otherwise : value;
    }
    query += piece + (next != NULL);
  }
  return otherwise;
}

void read_target(request_t *request, const char *target, size_t size) {
  static const struct { const char *path; enum kind kind; } rows[] = {
      {"/v1/stream", EVENTS}, {"/v1/chat/completions", CHAT}, {"/v1/big", BIG}, {"/v1/sink", SINK}, {"/v1/ws", SOCKET},
  };
  static const char tunnel[] = "/tunnel";
  if (size > sizeof tunnel && !memcmp(target, tunnel, sizeof tunnel - 1)) {
    target += sizeof tunnel - 1;
    size -= sizeof tunnel - 1;
  }
  const char *mark = memchr(target, '?', size);
  size_t path = mark ? (size_t)(mark - target) : size;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    if (path == strlen(rows[i].path) && !memcmp(target, rows[i].path, path)) request->kind = rows[i].kind;
  const char *query = mark ? mark + 1 : target;
  size_t length = mark ? size - path - 1 : 0;
  request->events = query_number(query, length, "events", CHAT_EVENTS);
  request->gap_us = query_number(query, length, "gap", request->kind == CHAT ? CHAT_GAP_US : 0);
  request->bytes = query_number(query, length, "bytes", 1 << 20);
}

void take_body(conn_t *c, const char *bytes, size_t size) {
  request_t *request = &c->request;
  uint64_t at = (uint64_t)request->body_seen;
  request->body_seen += (int64_t)size;
  if (!expect_body && request->kind != CHAT) return;
  if (request->kind == CHAT) {
    if (c->chat_size + size > CHAT_LIMIT) {
      request->wrong = true;
      return;
    }
    memcpy(c->chat + c->chat_size, bytes, size);
    c->chat_size += size;
  } else if (request->kind == SINK) {
    for (size_t piece; size; bytes += piece, at += piece, size -= piece) {
      piece = pattern_piece(at, size);
      if (memcmp(bytes, sent_patterns + at % PATTERN_SIZE, piece)) request->wrong = true;
    }
  } else if (at + size > PAYLOAD_SIZE || memcmp(bytes, expected[request->kind == EVENTS] + at, size)) {
    request->wrong = true;
  }
}

/// Whether the body is the client's; sets whether a chat is streamed, and whether its usage is asked for.
static bool right_body(conn_t *c, bool *streams, bool *usage) {
  request_t *request = &c->request;
  if (request->kind == CHAT) {
    // Edge asks for the usage of a stream.
    char *added = memmem(c->chat, c->chat_size, inserted, sizeof inserted - 1);
    if (added) {
      *usage = true;
      c->chat_size -= sizeof inserted - 1;
      memmove(added, added + sizeof inserted - 1, c->chat_size - (size_t)(added - c->chat));
    }
    *streams = memmem(c->chat, c->chat_size, "\"stream\":true", 13) != NULL;
    bool same = c->chat_size == PAYLOAD_SIZE && !memcmp(c->chat, expected[*streams], PAYLOAD_SIZE);
    return same || !expect_body;
  }
  if (!expect_body || !request->body_seen || request->kind == SINK || request->kind == BIG) return !request->wrong;
  return !request->wrong && request->body_seen == PAYLOAD_SIZE;
}

// MARK: whole answers

bool refuse_framing(conn_t *c, const char *why) {
  complain(why);
  c->closing = true;
  return send_bytes(c, refused_framing.bytes, refused_framing.size);
}

static bool send_whole(conn_t *c, int fault) {
  if (fault == SHUT) return drop(c), false;
  if (fault == STALL || fault == LOST) return c->stalled = true;
  if (fault == CUT) c->closing = true;
  text_t text = fault < 0 ? right : wrong[fault];
  return send_bytes(c, text.bytes, text.size);
}

static bool begin_big(conn_t *c, int fault) {
  if (fault == SHUT || fault == STATUS) return send_whole(c, fault);
  char head[256];
  int size = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                      "Content-Length: %ld\r\n\r\n", c->request.bytes + (fault == FRAME));
  c->fault = fault;
  c->sent_bytes = 0;
  if (!send_bytes(c, head, (size_t)size)) return false;
  c->state = SENDING;
  return send_more(c);
}

bool send_more(conn_t *c) {
  int64_t half = c->request.bytes / 2;
  while (c->sent_bytes < c->request.bytes) {
    uint64_t at = (uint64_t)c->sent_bytes;
    size_t left = (size_t)(c->request.bytes - c->sent_bytes), piece = pattern_piece(at, left < PIECE ? left : PIECE);
    const char *bytes = sent_patterns + at % PATTERN_SIZE;
    char flipped = (char)(*bytes ^ 1);
    if (c->fault >= 0 && c->sent_bytes < half && c->sent_bytes + (int64_t)piece > half)
      piece = (size_t)(half - c->sent_bytes);
    if (c->fault == CUT && c->sent_bytes == half) return drop(c), false;
    if (c->fault == STALL && c->sent_bytes == half) return c->stalled = true;
    if (c->fault == FLIP && c->sent_bytes == half) bytes = &flipped, piece = 1;
    ssize_t sent = transport_write(&c->to, bytes, piece);
    if (sent < 0 && errno != EAGAIN) return drop(c), false;
    if (sent < 0) return await_room(c, true), true;
    c->sent_bytes += sent;
  }
  await_room(c, false);
  c->state = HEAD;
  if (c->closing) drop(c);
  return c->to.fd >= 0;
}

// MARK: streams, in a heap by when they are due

static conn_t **heap;
static int streams, room;

static void place(int at, conn_t *c) {
  heap[at] = c;
  c->place = at;
}

static void rise(int at) {
  conn_t *c = heap[at];
  for (; at && heap[(at - 1) / 2]->due > c->due; at = (at - 1) / 2) place(at, heap[(at - 1) / 2]);
  place(at, c);
}

static void sink(int at) {
  conn_t *c = heap[at];
  for (int child; (child = 2 * at + 1) < streams; at = child) {
    if (child + 1 < streams && heap[child + 1]->due < heap[child]->due) child++;
    if (heap[child]->due >= c->due) break;
    place(at, heap[child]);
  }
  place(at, c);
}

static void schedule(conn_t *c, uint64_t due) {
  if (streams == room) {
    room = room ? 2 * room : 1024;
    heap = realloc(heap, (size_t)room * sizeof *heap);
    if (!heap) die("origin", "no memory");
  }
  c->due = due;
  heap[streams++] = c;
  rise(streams - 1);
}

void forget_stream(conn_t *c) {
  int at = c->place;
  if (at < 0) return;
  c->place = -1;
  if (at == --streams) return;
  place(at, heap[streams]);
  rise(at);
  sink(heap[at]->place);
}

static bool begin_stream(conn_t *c, int fault, bool usage) {
  if (fault == SHUT || fault == STATUS) return send_whole(c, fault);
  c->fault = fault;
  c->sent_events = 0;
  c->request.bytes = usage;
  if (!send_bytes(c, stream_head.bytes, stream_head.size)) return false;
  c->state = STREAMING;
  c->began = now_ns();
  schedule(c, c->began);
  return true;
}

static void end_stream(conn_t *c) {
  char tail[TAIL_LIMIT], chunk[TAIL_LIMIT + 32];
  int size = tail_text(tail, (int)c->request.events, c->request.bytes);
  size = snprintf(chunk, sizeof chunk, "%x\r\n%.*s\r\n0\r\n\r\n", size, size, tail);
  c->state = HEAD;
  if (send_bytes(c, chunk, (size_t)size) && c->closing && !c->rest) drop(c);
}

/// Sends one event of a stream, wrong if it must be; false when that was the stream's end.
static bool send_event(conn_t *c, uint64_t now) {
  char text[EVENT_LIMIT];
  memcpy(text, event.text, (size_t)event.size);
  write_digits(text + event.clock, CLOCK_DIGITS, now);
  write_digits(text + event.number, NUMBER_DIGITS, (uint64_t)c->sent_events);
  bool here = c->sent_events++ == c->request.events / 2;
  if (here && c->fault == CUT) return drop(c), false;
  if (here && c->fault == STALL) return c->stalled = true, false;
  if (here && c->fault == LOST) return true;
  if (here && c->fault == FLIP) text[event.size - 8] ^= 1;
  if (here && c->fault == FRAME) memcpy(text, "zz", 2);
  return send_bytes(c, text, (size_t)event.size);
}

uint64_t send_due(uint64_t now) {
  for (int i = 0; i < STEPS_AT_ONCE && streams && heap[0]->due <= now; i++) {
    conn_t *c = heap[0];
    forget_stream(c);
    if (c->rest) {
      schedule(c, now + RETRY_NS);
    } else if (c->sent_events == c->request.events) {
      end_stream(c);
    } else if (send_event(c, now_ns())) {
      bool last = c->sent_events == c->request.events;
      uint64_t due = c->began + (uint64_t)(c->sent_events * c->request.gap_us) * 1000;
      schedule(c, c->request.gap_us && !last ? due : now);
    }
  }
  return streams ? heap[0]->due : 0;
}

// MARK: WebSockets

static bool open_socket(conn_t *c) {
  char text[KEY_LIMIT + 64], accept[64], head[256];
  unsigned char digest[SHA_DIGEST_LENGTH];
  int size = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", c->request.key);
  SHA1((unsigned char *)text, (size_t)size, digest);
  EVP_EncodeBlock((unsigned char *)accept, digest, SHA_DIGEST_LENGTH);
  size = snprintf(head, sizeof head, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
  c->state = FRAMES;
  return send_bytes(c, head, (size_t)size);
}

/// Sends a frame back whose head stands right in front of its data; wrong, if it must be.
static bool echo(conn_t *c, char *frame, size_t size, int fault) {
  static const char failing[] = {(char)0x88, 2, 0x03, (char)0xf3};  // close, 1011
  if (fault == SHUT) return drop(c), false;
  if (fault == STALL || fault == LOST) return true;
  if (fault == STATUS) return send_bytes(c, failing, sizeof failing);
  if (fault == FLIP) frame[size - 1] ^= 1;
  if (fault == FRAME) frame[0] = (char)0x83;
  if (fault != CUT) return send_bytes(c, frame, size);
  c->closing = true;
  return send_bytes(c, frame, size / 2);
}

ssize_t take_frames(conn_t *c, char *bytes, size_t size) {
  unsigned char *p = (unsigned char *)bytes;
  if (size < 2) return 0;
  size_t length = p[1] & 127, head = length == 126 ? 4 : 2;
  // A client's frame has a mask. One of 64 KiB and more is nothing that the bench sends.
  if (!(p[1] & 128) || length == 127) return complain("a frame"), drop(c), -1;
  if (size < head + 4) return 0;
  if (length == 126) length = (size_t)(p[2] << 8 | p[3]);
  if (size < head + 4 + length) return 0;
  unsigned char *mask = p + head, *data = mask + 4;
  uint32_t four;
  memcpy(&four, mask, 4);
  uint64_t eight = four | (uint64_t)four << 32, word;
  size_t i = 0;
  for (; i + 8 <= length; i += 8) {
    memcpy(&word, data + i, 8);
    word ^= eight;
    memcpy(data + i, &word, 8);
  }
  for (; i < length; i++) data[i] ^= ((unsigned char *)&four)[i & 3];
  int opcode = p[0] & 15;
  ssize_t used = (ssize_t)(head + 4 + length);
  if (opcode == 10) return used;
  char *frame = (char *)data - head;
  memmove(frame, p, head);
  frame[1] &= 127;
  if (opcode == 9) frame[0] = (char)0x8a;
  if (opcode == 8) c->closing = true;
  bool whole = opcode < 8 && (frame[0] & 128);
  messages += whole;
  return echo(c, frame, head + length, whole ? fault_of(messages) : -1) ? used : -1;
}

// MARK: choosing

bool answer(conn_t *c) {
  bool streamed = c->request.kind == EVENTS, usage = false;
  if (!right_body(c, &streamed, &usage)) {
    complain("another body than the client sent");
    c->closing = true;
    return send_bytes(c, refused_body.bytes, refused_body.size);
  }
  if (c->request.kind == SOCKET) return open_socket(c);
  int fault = fault_of(requests);
  if (streamed) return begin_stream(c, fault, usage);
  return c->request.kind == BIG ? begin_big(c, fault) : send_whole(c, fault);
}

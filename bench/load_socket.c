// The client's side of a WebSocket: the opening, one message at a time, and the check of what comes back.
#define _GNU_SOURCE
#include "load.h"

#include <strings.h>

enum { MESSAGE_HEAD = 4 + 4, CLOCK_AT = 23, CONTROL_HEAD = 6 };

static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};

// MARK: opening

int write_opening(char *out, size_t room, const char *host_fields, const char *path) {
  const char *form = "GET %s HTTP/1.1\r\n%sUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  return snprintf(out, room, form, path, host_fields);
}

static bool has_field(const char *head, size_t size, const char *field) {
  size_t length = strlen(field);
  const char *end = head + size;
  for (const char *line = head; (line = memmem(line, (size_t)(end - line), "\r\n", 2)); ) {
    line += 2;
    if ((size_t)(end - line) >= length + 2 && !strncasecmp(line, field, length) && !memcmp(line + length, "\r\n", 2))
      return true;
  }
  return false;
}

bool right_opening(const char *head, size_t size) {
  // The answer to the key above, which is RFC 6455's own example.
  return has_field(head, size, "Upgrade: websocket") && has_field(head, size, "Connection: Upgrade") &&
         has_field(head, size, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

// MARK: messages

/// The message's frame, made at the connection's first one; only its clock changes.
static bool make_frame(conn_t *c) {
  char text[MESSAGE_SIZE + 8];
  c->frame = malloc(MESSAGE_HEAD + MESSAGE_SIZE);
  if (!c->frame) die("load", "no memory");
  int size = snprintf(text, sizeof text, "{\"type\":\"input\",\"at\":\"@%019d\",\"text\":\"", 0);
  for (int i = 0; size < MESSAGE_SIZE; i++) size += snprintf(text + size, sizeof text - (size_t)size, "%03d ", i);
  memcpy(text + MESSAGE_SIZE - 2, "\"}", 2);
  memcpy(c->frame, (char[]){(char)0x81, (char)(0x80 | 126), 0, (char)MESSAGE_SIZE}, 4);
  memcpy(c->frame + 4, mask, 4);
  for (int i = 0; i < MESSAGE_SIZE; i++) c->frame[MESSAGE_HEAD + i] = (char)(text[i] ^ mask[i & 3]);
  return true;
}

void send_message(conn_t *c) {
  char digits[CLOCK_DIGITS];
  if (!c->frame) make_frame(c);
  write_digits(digits, CLOCK_DIGITS, c->started);
  for (int i = 0; i < CLOCK_DIGITS; i++)
    c->frame[MESSAGE_HEAD + CLOCK_AT + i] = (char)(digits[i] ^ mask[(CLOCK_AT + i) & 3]);
  c->state = ASKED;
  c->seen = 0;
  c->out = c->frame;
  c->out_size = MESSAGE_HEAD + MESSAGE_SIZE;
  c->upload_left = c->sent = 0;
  send_rest(c);
}

/// Whether bytes of the echo are those of the message.
static bool same(conn_t *c, const char *bytes, size_t size) {
  if (c->seen + size > MESSAGE_SIZE) return false;
  const char *sent = c->frame + MESSAGE_HEAD + c->seen;
  char wrong = 0;
  for (size_t i = 0; i < size; i++) wrong |= (char)(bytes[i] ^ sent[i] ^ (char)mask[(c->seen + i) & 3]);
  c->seen += size;
  return !wrong;
}

/// Answers a ping at once; a pong is so small that a socket takes it, or the connection is stuck anyway.
static bool answer_ping(conn_t *c, size_t size) {
  char pong[CONTROL_HEAD + 125] = {(char)0x8a, (char)(0x80 | size)};
  memcpy(pong + 2, mask, 4);
  for (size_t i = 0; i < size; i++) pong[CONTROL_HEAD + i] = (char)(c->control[i] ^ mask[i & 3]);
  return transport_write(&c->to, pong, CONTROL_HEAD + size) == (ssize_t)(CONTROL_HEAD + size);
}

/// A frame's head is whole; false when it is none that a server may send here.
static bool begin_frame(conn_t *c) {
  unsigned char *head = c->frame_head;
  uint64_t length = head[1] == 126 ? (uint64_t)(head[2] << 8 | head[3]) : head[1];
  bool control = head[0] & 8, first = (head[0] & 15) == 1;
  c->opcode = head[0] & 15;
  c->left = length;
  c->in_frame = true;
  c->frame_head_size = 0;
  if (control) return head[0] & 128 && length <= 125 && c->opcode != 8 && c->opcode <= 10;
  if (head[0] & 0x70 || c->opcode > 1 || first == c->in_message) return false;
  c->in_message = !(head[0] & 128);
  return c->state == ASKED;
}

/// A frame is whole; false when the message that it ends is too short, or nobody takes an answer to a ping.
static bool end_frame(conn_t *c, uint64_t control_size) {
  c->in_frame = false;
  if (c->opcode == 9) return answer_ping(c, control_size);
  if (c->opcode == 10 || c->in_message) return true;
  if (c->seen != MESSAGE_SIZE) return false;
  complete(c);
  return true;
}

bool take_frames(conn_t *c, char *bytes, size_t size) {
  while (size || (c->in_frame && !c->left)) {
    if (!c->in_frame) {
      c->frame_head[c->frame_head_size++] = (unsigned char)*bytes++;
      size--;
      int wanted = c->frame_head_size < 2 || c->frame_head[1] < 126 ? 2 : 4;
      // A mask, or a length that nothing here has.
      if (c->frame_head_size == 2 && c->frame_head[1] > 126) return fail(c, BAD_FRAME), false;
      if (c->frame_head_size == wanted && !begin_frame(c)) return fail(c, BAD_FRAME), false;
      if (c->in_frame) c->at = 0;
      continue;
    }
    size_t piece = size < c->left ? size : (size_t)c->left;
    if (c->opcode >= 8) {
      memcpy(c->control + c->at, bytes, piece);
      c->at += (int)piece;
    } else if (!same(c, bytes, piece)) {
      return fail(c, BAD_BODY), false;
    }
    bytes += piece;
    size -= piece;
    c->left -= piece;
    if (c->left) continue;
    if (!end_frame(c, (uint64_t)c->at)) return fail(c, BAD_FRAME), false;
    if (c->to.fd < 0) return false;
  }
  return true;
}

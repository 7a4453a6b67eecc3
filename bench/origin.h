// The origin's connection, and what its two halves ask of each other: origin.c has the sockets and reads requests,
// origin_answers.c knows what is answered.
#ifndef BENCH_ORIGIN_H
#define BENCH_ORIGIN_H

#include "transport.h"
#include "wire.h"

enum { HEAD_LIMIT = 16384, KEY_LIMIT = 64, CHAT_LIMIT = 2048 };

/// What a request asks for, by its path.
enum kind { PLAIN, EVENTS, CHAT, BIG, SINK, SOCKET };

enum state {
  HEAD,  // a head is awaited or comes
  BODY,  // a request's body comes
  STREAMING,  // events go out, each when it is due
  SENDING,  // a large body goes out
  FRAMES,  // a WebSocket
};

typedef struct {
  enum kind kind;
  bool close_asked, wrong;  // wrong: the body is not the one that the client sends
  bool upgrade, upgrade_named, version_13;  // of a WebSocket's opening
  int hosts, lengths;
  int64_t body_left, body_seen;
  int64_t events, gap_us, bytes;  // of the query
  char key[KEY_LIMIT + 1];
} request_t;

typedef struct conn {
  transport_t to;
  struct conn *next_dropped;
  enum state state;
  request_t request;
  char chat[CHAT_LIMIT];  // the body of a chat's request
  size_t chat_size;
  char *kept;  // bytes read and not yet consumed, at most HEAD_LIMIT; NULL while there are none
  size_t kept_size;
  char *rest;  // bytes to be sent that the socket did not take; NULL while there are none
  size_t rest_size;
  bool waits_to_write, closing;  // closing: the connection ends when all is sent
  bool stalled;  // it never says anything again: a fault
  int fault;  // of the stream that runs, or -1
  int64_t sent_events, sent_bytes;
  uint64_t began, due;  // of a stream, ns
  int place;  // in the heap of streams; -1: not in it
} conn_t;

extern bool expect_body;
extern uint64_t requests, refused, faulty, messages;

// MARK: origin.c

/// Sends bytes or keeps what the socket does not take; false when the connection is gone.
bool send_bytes(conn_t *c, const char *bytes, size_t size);
/// Asks to be told when the socket has room, or not to be told any more.
void await_room(conn_t *c, bool wanted);
/// Closes the connection; it is forgotten before the next wait.
void drop(conn_t *c);
/// A request that is not as the client has sent it: counted, and told for the first few.
void complain(const char *why);

// MARK: origin_answers.c

void build_answers(void);
void fault_option(const char *text);
/// What a path asks for, with the numbers in its query.
void read_target(request_t *request, const char *target, size_t size);
/// A piece of a request's body.
void take_body(conn_t *c, const char *bytes, size_t size);
/// Answers the whole request; false when the connection is gone.
bool answer(conn_t *c);
/// Answers a request whose framing leaves a doubt; false when the connection is gone.
bool refuse_framing(conn_t *c, const char *why);
/// Goes on with a large body after the socket has room again; false when the connection is gone.
bool send_more(conn_t *c);
/// Consumes whole frames, echoes messages; the bytes consumed, -1 when the connection is gone.
ssize_t take_frames(conn_t *c, char *bytes, size_t size);
/// Sends the events that are due; returns when the next one is, in ns, or 0 without one.
uint64_t send_due(uint64_t now);
/// The stream of a connection, if there is one, is over.
void forget_stream(conn_t *c);

#endif

// The load client's plan, connections and counts. load.c has the options, the run and the result, load_connection.c the
// connections' turns, load_answer.c checks answers, load_socket.c speaks WebSocket.
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "transport.h"
#include "wire.h"

enum {
  HEAD_LIMIT = 8192,  // of an answer
  FRAME_HEAD = 8,  // of a message that a client sends: two bytes, two of length, the mask
  MOST_CONNECTIONS = 16384,
  MOST_PIDS = 64,
  MOST_BAD = 1000,
};

// MARK: plan

/// What a connection does over and over.
enum mode { ANSWERS, STREAMS, SOCKETS };

typedef struct {
  enum mode mode;
  uint16_t port;
  int connections;
  double seconds, warmup, patience, limit;
  uint64_t requests;  // 0: a window of time
  double rate;  // requests a second of all connections together; 0: a closed loop
  bool get, tls, fresh, hold, races, leave;
  int status;  // that every answer must have; other than 200, its body is not looked at
  uint64_t upload, download;  // bytes of a large body; 0: JSON
  uint64_t slow;  // bytes a second that each connection reads; 0: as fast as they come
  uint64_t events, stagger_us;
  const char *path, *tokens;
  pid_t pids[MOST_PIDS], origin_pid;
  int pid_count;
} plan_t;

extern plan_t plan;

// MARK: connections

enum state {
  CLOSED,
  SHAKING,  // TLS
  OPENING,  // the answer to a WebSocket's opening is awaited
  RESTING,  // nothing is on its way
  ASKED,  // a request or a message is on its way
};

typedef struct conn {
  transport_t to;
  enum state state;
  bool asked;  // a request waits for the connection to stand
  bool waits_to_write, close_after, reused, held, queued;
  const char *out;  // what is being sent, then `upload_left` bytes of the pattern
  size_t out_size, sent;
  uint64_t upload_left, started;
  int request;  // which of the prepared requests was sent
  // An answer.
  char *partial;  // of its head; NULL while there is none
  size_t partial_size;
  bool in_body, chunked;
  uint64_t left;  // bytes of the body, of the chunk or of the frame
  uint64_t seen;  // bytes of the body
  int chunk_state;
  // A stream.
  uint64_t events, clock, number;
  int at;  // in the event that comes, or in the tail
  // A WebSocket.
  unsigned char frame_head[4];
  int frame_head_size, opcode;
  bool in_frame, in_message;
  char control[125];
  char *frame;  // the message on its way, masked; NULL before the first
} conn_t;

/// Why an answer is bad.
enum bad {
  BAD_CONNECT, BAD_TLS, BAD_STATUS, BAD_HEAD, BAD_FRAME, BAD_BODY, BAD_CUT, BAD_LATE, BAD_KINDS
};

// MARK: load_connection.c

extern conn_t *conns;
extern int poller;
extern bool measuring, ending;
extern uint64_t begun, counted, chunks, moved, whole, reconnects, raced, held, bad[BAD_KINDS], bad_total;
extern char sent_pattern[PATTERN_SIZE];

void build_requests(void);
/// Connects, and asks if the connection was asked to.
void connect_to(conn_t *c);
/// The connection's turn: in a closed loop it asks, else it waits until something is due.
void take_turn(conn_t *c);
/// Asks for something that was due at `since` (ns), or is due now (0).
void ask(conn_t *c, uint64_t since);
/// Asks on the connection that has rested longest; false when none rests.
bool ask_any(uint64_t since);
/// Counts a bad answer; what follows on the connection cannot be told apart, so it ends.
void fail(conn_t *c, enum bad kind);
/// An answer, stream or echo has come whole and right.
void complete(conn_t *c);
/// The handshake of a WebSocket was answered.
void opened(conn_t *c);
void send_rest(conn_t *c);
void on_event(conn_t *c, uint32_t events);
/// Reads what a slow reader may read now.
void read_slowly(conn_t *c);

// MARK: load_answer.c

void build_expected(void);
/// Takes bytes of an answer; false when it was bad or the connection has ended.
bool take_answer(conn_t *c, char *bytes, size_t size);
void forget_answer(conn_t *c);

// MARK: load_socket.c

/// The request that opens a WebSocket.
int write_opening(char *out, size_t room, const char *host_fields, const char *path);
/// Whether the head of an answer opens a WebSocket as it must.
bool right_opening(const char *head, size_t size);
void send_message(conn_t *c);
/// Takes bytes of frames; false when they were wrong or the connection has ended.
bool take_frames(conn_t *c, char *bytes, size_t size);

// MARK: load.c

/// Counts a latency, in ns.
void record(uint64_t ns);

#endif

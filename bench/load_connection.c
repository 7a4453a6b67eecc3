// The load client's connections: opening them, whose turn it is, sending, reading, and what becomes of a bad answer.
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

enum { REQUEST_ROOM = 3072 + PAYLOAD_SIZE, SCRATCH = 1 << 18, SLOW_TICKS = 20, MOST_TOKENS = 4096, MOST_PATHS = 16 };

conn_t *conns;
int poller;
bool measuring, ending;
uint64_t begun, counted, chunks, moved, whole, reconnects, raced, held, bad[BAD_KINDS], bad_total;
char sent_pattern[PATTERN_SIZE];

static struct { char *bytes; size_t size; } *prepared;
static int prepared_count;
static SSL_CTX *secure;
static char scratch[SCRATCH];

// MARK: requests

static char *paths[MOST_PATHS];
static int path_count;

static void split_paths(void) {
  char *text = strdup(plan.path), *rest = text;
  for (char *path; (path = strsep(&rest, ","));) {
    if (path_count == MOST_PATHS) die("--path", "too many");
    paths[path_count++] = path;
  }
}

/// One request as it goes out, of an upload its head.
static void prepare(const char *path, const char *token) {
  char *out = malloc(REQUEST_ROOM), fields[1536];
  int size = snprintf(fields, sizeof fields, "Host: bench.example\r\nUser-Agent: bench/1\r\nAccept: */*\r\n%s%s%s",
                      token ? "Authorization: Bearer " : "", token ? token : "", token ? "\r\n" : "");
  if (!out || size >= (int)sizeof fields) die("--tokens", "too long");
  const char *last = plan.fresh ? "Connection: close\r\n" : "";
  uint64_t body = plan.upload ? plan.upload : PAYLOAD_SIZE;
  if (plan.mode == SOCKETS)
    size = write_opening(out, REQUEST_ROOM, fields, path);
  else if (plan.get)
    size = snprintf(out, REQUEST_ROOM, "GET %s HTTP/1.1\r\n%sAccept-Language: en\r\nX-Client-Version: 1.0.0\r\n%s\r\n",
                    path, fields, last);
  else
    size = snprintf(out, REQUEST_ROOM, "POST %s HTTP/1.1\r\n%sContent-Type: application/json\r\n"
                    "Content-Length: %lu\r\n%s\r\n", path, fields, body, last);
  if (size >= REQUEST_ROOM - PAYLOAD_SIZE) die("--path", "too long");
  if (plan.mode != SOCKETS && !plan.get && !plan.upload) {
    payload(out + size, plan.mode == STREAMS ? STREAM_REQUEST : REQUEST);
    size += PAYLOAD_SIZE;
  }
  prepared[prepared_count].bytes = out;
  prepared[prepared_count++].size = (size_t)size;
}

/// As many requests as there are tokens or paths; they are sent in turn.
void build_requests(void) {
  char token[1200];
  prepared = calloc(MOST_TOKENS + MOST_PATHS, sizeof *prepared);
  if (!prepared) die("load", "no memory");
  split_paths();
  pattern(sent_pattern);
  FILE *file = plan.tokens ? fopen(plan.tokens, "r") : NULL;
  if (plan.tokens && !file) die(plan.tokens, strerror(errno));
  while (file && prepared_count < MOST_TOKENS && fgets(token, sizeof token, file)) {
    token[strcspn(token, "\n")] = 0;
    prepare(paths[prepared_count % path_count], token);
  }
  if (file) fclose(file);
  for (int i = 0; !plan.tokens && i < path_count; i++) prepare(paths[i], NULL);
  if (!prepared_count) die("--tokens", "empty");
  if (!plan.tls) return;
  secure = SSL_CTX_new(TLS_client_method());
  if (!secure) die("load", "no TLS");
  // Every handshake is a full one, and the certificate is the bench's own.
  SSL_CTX_set_session_cache_mode(secure, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(secure, SSL_VERIFY_NONE, NULL);
  SSL_CTX_set_mode(secure, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                               SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

// MARK: ends

static void disconnect(conn_t *c) {
  struct linger abrupt = {.l_onoff = 1};
  // Each of many short connections would keep its port for a minute.
  if (plan.fresh || plan.hold) setsockopt(c->to.fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
  transport_close(&c->to);
  forget_answer(c);
  c->state = CLOSED;
  c->asked = c->reused = c->in_frame = c->in_message = false;
  c->frame_head_size = 0;
}

void fail(conn_t *c, enum bad kind) {
  // A server may close a kept connection at any time; a request that met this is sent again, once the race is counted.
  bool race = plan.races && kind == BAD_CUT && c->reused && !c->in_body && !c->partial;
  uint64_t since = c->started;
  disconnect(c);
  if (race) {
    raced++;
    begun--;
    if (!ending) ask(c, since);
    return;
  }
  bad[kind]++;
  bad_total++;
  if (bad_total >= MOST_BAD) ending = true;  // a proxy that is down must not be hammered for the whole window
  if (!plan.hold) take_turn(c);
}

/// A refused connection ends the run: on loopback it means that nobody listens, and the figures of a run without its
/// connections would say nothing.
static void fail_to_connect(conn_t *c) {
  disconnect(c);
  bad[BAD_CONNECT]++;
  bad_total++;
  if (!plan.races || bad_total >= MOST_BAD) ending = true;
  take_turn(c);
}

// MARK: turns

/// Connections that rest, the longest first, for the next request that is due.
static conn_t *resting[MOST_CONNECTIONS];
static uint64_t rest_first, rest_last;

void take_turn(conn_t *c) {
  if (ending || plan.hold) return;
  if (plan.requests && begun >= plan.requests) return;
  if (!plan.rate) return ask(c, 0);
  if (c->queued) return;
  c->queued = true;
  resting[rest_last++ % MOST_CONNECTIONS] = c;
}

bool ask_any(uint64_t since) {
  if (rest_first == rest_last) return false;
  conn_t *c = resting[rest_first++ % MOST_CONNECTIONS];
  c->queued = false;
  ask(c, since);
  return true;
}

static void send_request(conn_t *c) {
  c->asked = false;
  if (plan.mode == SOCKETS) return send_message(c);
  c->state = ASKED;
  c->request = (int)(begun % (uint64_t)prepared_count);
  c->out = prepared[c->request].bytes;
  c->out_size = prepared[c->request].size;
  c->upload_left = plan.upload;
  c->sent = 0;
  c->close_after = plan.fresh;
  send_rest(c);
}

/// The connection stands.
static void on_connected(conn_t *c) {
  c->state = RESTING;
  if (plan.mode == SOCKETS) {
    c->state = OPENING;
    c->out = prepared[0].bytes;
    c->out_size = prepared[0].size;
    c->upload_left = c->sent = 0;
    return send_rest(c);
  }
  if (c->asked) send_request(c);
}

static void shake(conn_t *c) {
  ssize_t result = tls_result(&c->to, SSL_do_handshake(c->to.tls));
  if (result == 1) return on_connected(c);
  if (result == 0 || errno != EAGAIN) fail(c, BAD_TLS);
}

/// Connects and waits for it: on loopback that is one system call, and a proxy that takes seconds is a bad answer.
void connect_to(conn_t *c) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(plan.port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  struct timeval patience = {.tv_sec = (time_t)plan.patience + 1};
  int on = 1, small = 1 << 16;
  c->to.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->to.fd < 0) die("socket", strerror(errno));
  setsockopt(c->to.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  setsockopt(c->to.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (plan.slow) setsockopt(c->to.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  if (connect(c->to.fd, (struct sockaddr *)&address, sizeof address)) return fail_to_connect(c);
  fcntl(c->to.fd, F_SETFL, O_NONBLOCK);
  c->waits_to_write = false;
  struct epoll_event event = {.events = plan.slow ? 0 : EPOLLIN, .data.ptr = c};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, c->to.fd, &event)) die("epoll_ctl", strerror(errno));
  if (!plan.tls) return on_connected(c);
  c->to.tls = SSL_new(secure);
  SSL_set_fd(c->to.tls, c->to.fd);
  SSL_set_connect_state(c->to.tls);
  SSL_set_tlsext_host_name(c->to.tls, "bench.example");
  c->state = SHAKING;
  shake(c);
}

void ask(conn_t *c, uint64_t since) {
  begun++;
  c->started = since ? since : now_ns();
  c->asked = true;
  if (c->state == CLOSED) connect_to(c);
  else send_request(c);
}

void opened(conn_t *c) {
  c->state = RESTING;
  if (plan.hold && !c->held) {
    c->held = true;
    held++;
  }
  if (!c->asked) return;
  c->started = now_ns();  // the opening is not part of the message's time
  send_request(c);
}

void complete(conn_t *c) {
  uint64_t now = now_ns();
  whole++;
  if (measuring) {
    counted++;
    if (plan.mode != STREAMS) record(now - c->started);
  }
  c->state = RESTING;
  c->reused = true;
  if (plan.hold && !c->held) {
    c->held = true;
    held++;
  }
  if (c->close_after) {
    reconnects += !plan.fresh;
    disconnect(c);
  }
  take_turn(c);
}

// MARK: bytes

/// The next piece to be sent: of the request, then of a large body.
static size_t next_piece(conn_t *c, const char **bytes) {
  if (c->sent < c->out_size) {
    *bytes = c->out + c->sent;
    return c->out_size - c->sent;
  }
  uint64_t at = plan.upload - c->upload_left;
  *bytes = sent_pattern + at % PATTERN_SIZE;
  return pattern_piece(at, c->upload_left < PATTERN_SIZE ? (size_t)c->upload_left : PATTERN_SIZE);
}

void send_rest(conn_t *c) {
  const char *bytes;
  size_t size;
  while ((size = next_piece(c, &bytes))) {
    ssize_t n = transport_write(&c->to, bytes, size);
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return fail(c, BAD_CUT);
    if (c->sent < c->out_size) c->sent += (size_t)n;
    else c->upload_left -= (uint64_t)n;
    if (measuring && plan.upload) moved += (uint64_t)n;
  }
  if ((size > 0) == c->waits_to_write) return;
  c->waits_to_write = size > 0;
  struct epoll_event event = {.events = (plan.slow ? 0 : EPOLLIN) | (size ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_MOD, c->to.fd, &event);
}

static void on_end(conn_t *c) {
  if (c->state != RESTING || plan.mode == SOCKETS || plan.hold) return fail(c, BAD_CUT);
  disconnect(c);  // its right, between two requests
}

/// Reads at most `budget` bytes. What the socket still holds is told again; what TLS holds is not.
static void receive(conn_t *c, size_t budget) {
  do {
    ssize_t n = transport_read(&c->to, scratch, budget < SCRATCH ? budget : SCRATCH);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return on_end(c);
    if (measuring && plan.download) moved += (uint64_t)n;
    budget -= (size_t)n;
    bool good;
    if (c->state == OPENING || c->state == ASKED || plan.mode == SOCKETS) {
      bool frames = plan.mode == SOCKETS && c->state != OPENING;
      good = frames ? take_frames(c, scratch, (size_t)n) : take_answer(c, scratch, (size_t)n);
    } else {
      fail(c, BAD_BODY);  // bytes nobody asked for
      return;
    }
    if (!good) return;
  } while (c->to.fd >= 0 && budget && (plan.slow || (c->to.tls && SSL_has_pending(c->to.tls))));
}

void read_slowly(conn_t *c) {
  if (c->state == ASKED && !c->waits_to_write) receive(c, (size_t)(plan.slow / SLOW_TICKS));
}

void on_event(conn_t *c, uint32_t events) {
  if (c->to.fd < 0) return;
  if (c->state == SHAKING) return shake(c);
  if (events & EPOLLOUT) send_rest(c);
  if (c->to.fd < 0 || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  receive(c, SIZE_MAX);
}

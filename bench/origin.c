// The service behind the proxies: one thread, epoll, HTTP/1.1 keep-alive. It answers every request with the same 1.2 KB
// of JSON and refuses every request whose framing leaves a doubt, so that a proxy cannot gain by sending sloppy ones.
//
//   origin [--port N] [--expect-body] [--fault KIND:N]
//
//   --port N         127.0.0.1:N; 0 (default) takes any free port, which the first line on stdout names
//   --expect-body    a request body other than the load client's is refused with 422
//   --fault KIND:N   every Nth answer is wrong (cut, flip, status, shut, stall): proof that the load client sees it
//
// On SIGUSR1 and at the end (SIGTERM) it prints what it has done so far as one line of JSON:
// {"requests":…,"connections":…,"refused":…,"faults":…}.
#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_LIMIT = 16384, EVENTS = 256, BACKLOG = 4096 };

typedef struct {
  const char *bytes;
  size_t size;
  bool close;  // the connection ends after it
} answer_t;

typedef struct {
  int fd;
  char in[HEAD_LIMIT];  // bytes read and not yet consumed; a body is consumed as it comes
  size_t have;
  bool in_body;
  int64_t body_left, body_seen;
  bool body_wrong, close_asked;
  answer_t out;  // what is still to be sent
  bool waits_to_write;
} conn_t;

static answer_t plain, refused_framing, refused_body;
static struct { const char *kind; answer_t answer; } faults[] = {{"cut", {0}}, {"flip", {0}}, {"status", {0}},
                                                               {"shut", {0}}, {"stall", {0}}};
enum { FAULTS = sizeof faults / sizeof faults[0] };
static int fault_kind = -1;
static int64_t fault_every;
static bool expect_body;
static char expected[PAYLOAD_SIZE];
static int poller;
static volatile sig_atomic_t stopping, asked;
static uint64_t requests, connections, refused, faulty;

static void on_signal(int signal) {
  if (signal == SIGTERM) stopping = 1;
  asked = 1;
}

static void report(void) {
  asked = 0;
  printf("{\"requests\":%lu,\"connections\":%lu,", requests, connections);
  printf("\"refused\":%lu,\"faults\":%lu}\n", refused, faulty);
  fflush(stdout);
}

/// Signals arrive only inside epoll_pwait: none can fall between the check of its flag and the wait.
static void take_signals(void) {
  struct sigaction action = {.sa_handler = on_signal};
  sigset_t both;
  sigemptyset(&both);
  sigaddset(&both, SIGTERM);
  sigaddset(&both, SIGUSR1);
  sigprocmask(SIG_BLOCK, &both, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGUSR1, &action, NULL);
}

// MARK: answers, all built once

static answer_t build(const char *status, const char *connection, bool whole_body, bool flipped) {
  char body[PAYLOAD_SIZE], date[64];
  payload(body, "answer");
  if (flipped) body[PAYLOAD_SIZE / 2] ^= 1;
  time_t now = time(NULL);  // of the start: a clock read per answer would be the origin's cost, not the proxy's
  strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
  char *bytes = malloc(512 + PAYLOAD_SIZE);
  if (!bytes) die("origin", "no memory");
  const char *form = "HTTP/1.1 %s\r\nDate: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n";
  int size = snprintf(bytes, 512, form, status, date, PAYLOAD_SIZE, connection);
  size_t body_size = whole_body ? PAYLOAD_SIZE : PAYLOAD_SIZE / 2;
  memcpy(bytes + size, body, body_size);
  return (answer_t){bytes, (size_t)size + body_size, *connection || !whole_body};
}

static void build_answers(void) {
  payload(expected, "request");
  plain = build("200 OK", "", true, false);
  refused_framing = build("400 Bad Request", "Connection: close\r\n", true, false);
  refused_body = build("422 Unprocessable Content", "Connection: close\r\n", true, false);
  faults[0].answer = build("200 OK", "", false, false);
  faults[1].answer = build("200 OK", "", true, true);
  faults[2].answer = build("500 Internal Server Error", "", true, false);
  faults[3].answer = (answer_t){"", 0, true};
  faults[4].answer = (answer_t){"", 0, false};
}

// MARK: requests

static bool is_token(const char *text, size_t size) {
  if (!size) return false;
  for (size_t i = 0; i < size; i++) {
    unsigned char c = (unsigned char)text[i];
    if (c <= ' ' || c >= 127 || strchr("\"(),/:;<=>?@[\\]{}", c)) return false;
  }
  return true;
}

static bool is_name(const char *text, size_t size, const char *name) {
  return size == strlen(name) && !strncasecmp(text, name, size);
}

/// METHOD SP target SP HTTP/1.1, with single spaces.
static const char *check_request_line(const char *line, size_t size) {
  const char *end = line + size, *space = memchr(line, ' ', size);
  if (!space || !is_token(line, (size_t)(space - line))) return "method";
  const char *target = space + 1, *second = memchr(target, ' ', (size_t)(end - target));
  if (!second || *target != '/') return "target";
  for (const char *p = target; p < second; p++)
    if (*p <= ' ' || *p == 127) return "byte in the target";
  if (end - second != 9 || memcmp(second, " HTTP/1.1", 9)) return "version";
  return NULL;
}

/// One field line: NULL, or why it is refused.
static const char *check_field(conn_t *c, const char *line, size_t size, int *hosts, int *lengths) {
  const char *colon = memchr(line, ':', size), *end = line + size;
  if (!colon || !is_token(line, (size_t)(colon - line))) return "field name";
  for (const char *p = colon; p < end; p++)
    if (*p == '\r' || *p == '\n' || *p == 0) return "control byte in a field";
  size_t name = (size_t)(colon - line);
  const char *value = colon + 1;
  while (value < end && (*value == ' ' || *value == '\t')) value++;
  while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
  size_t value_size = (size_t)(end - value);
  if (is_name(line, name, "host")) ++*hosts;
  if (is_name(line, name, "transfer-encoding")) return "transfer-encoding";
  if (is_name(line, name, "connection") && is_name(value, value_size, "close")) c->close_asked = true;
  if (!is_name(line, name, "content-length")) return NULL;
  c->body_left = decimal(value, value_size);
  return c->body_left < 0 || ++*lengths > 1 ? "content-length" : NULL;
}

/// Checks the head (with its closing empty line) and sets the body's length; NULL, or why it is refused.
static const char *check_head(conn_t *c, const char *head, size_t size) {
  c->body_left = c->body_seen = 0;
  c->body_wrong = c->close_asked = false;
  int hosts = 0, lengths = 0;
  const char *end = head + size - 2;
  const char *line_end = memmem(head, size, "\r\n", 2);
  const char *wrong = check_request_line(head, (size_t)(line_end - head));
  for (const char *line = line_end + 2; !wrong && line < end; line = line_end + 2) {
    line_end = memmem(line, (size_t)(head + size - line), "\r\n", 2);
    wrong = check_field(c, line, (size_t)(line_end - line), &hosts, &lengths);
  }
  return wrong ? wrong : hosts == 1 ? NULL : "host";
}

static void take_body(conn_t *c, const char *bytes, size_t size) {
  if (c->body_seen + (int64_t)size > PAYLOAD_SIZE || memcmp(bytes, expected + c->body_seen, size)) c->body_wrong = true;
  c->body_seen += (int64_t)size;
  c->body_left -= (int64_t)size;
}

// MARK: connections

static void drop(conn_t *c) {
  close(c->fd);  // also leaves the poller
  free(c);
}

/// Sends what can be sent; false when the connection is gone.
static bool flush(conn_t *c) {
  while (c->out.size) {
    ssize_t sent = send(c->fd, c->out.bytes, c->out.size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return drop(c), false;
    if (sent < 0) break;
    c->out.bytes += sent;
    c->out.size -= (size_t)sent;
  }
  if (!c->out.size && c->out.close) return drop(c), false;
  bool waits = c->out.size > 0;
  if (waits != c->waits_to_write) {
    c->waits_to_write = waits;
    struct epoll_event event = {.events = waits ? EPOLLOUT : EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
  }
  return true;
}

static void refuse(conn_t *c, answer_t answer, const char *why) {
  if (++refused <= 5) fprintf(stderr, "origin refused a request: %s\n", why);
  c->out = answer;
}

static void answer_request(conn_t *c) {
  requests++;
  c->in_body = false;
  if (expect_body && c->body_seen > 0 && (c->body_wrong || c->body_seen != PAYLOAD_SIZE))
    return refuse(c, refused_body, "another body than the client sent");
  bool wrong = fault_every && requests % (uint64_t)fault_every == 0;
  faulty += wrong;
  c->out = wrong ? faults[fault_kind].answer : plain;
  if (c->close_asked) c->out.close = true;
}

/// Consumes one head or one piece of a body at `*at`; false when more bytes are needed first.
static bool step(conn_t *c, size_t *at) {
  const char *bytes = c->in + *at;
  size_t size = c->have - *at;
  if (!c->in_body) {
    const char *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (!end && size == HEAD_LIMIT) return refuse(c, refused_framing, "head too large"), true;
    if (!end) return false;
    size_t head = (size_t)(end - bytes) + 4;
    const char *wrong = check_head(c, bytes, head);
    if (wrong) return refuse(c, refused_framing, wrong), true;
    *at += head;
    c->in_body = true;
  } else if (size) {
    size_t piece = (int64_t)size < c->body_left ? size : (size_t)c->body_left;
    take_body(c, bytes, piece);
    *at += piece;
  }
  if (c->body_left) return *at < c->have;
  answer_request(c);
  return true;
}

/// Works off what was read, one answer after the other, and keeps the rest for later.
static void advance(conn_t *c) {
  size_t at = 0;
  while (!c->out.size && step(c, &at))
    if (!flush(c)) return;
  memmove(c->in, c->in + at, c->have - at);
  c->have -= at;
}

static void on_event(conn_t *c) {
  if (c->waits_to_write) {
    if (flush(c) && !c->waits_to_write) advance(c);
    return;
  }
  ssize_t got = recv(c->fd, c->in + c->have, HEAD_LIMIT - c->have, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return drop(c);
  c->have += (size_t)got;
  advance(c);
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (fd < 0) return;
    conn_t *c = calloc(1, sizeof *c);
    if (!c) die("origin", "no memory");
    c->fd = fd;
    connections++;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl", strerror(errno));
  }
}

static int listen_on(int64_t port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, BACKLOG)) die("listen", strerror(errno));
  getsockname(fd, (struct sockaddr *)&address, &size);
  printf("listening 127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return fd;
}

static void fault_option(const char *text) {
  const char *colon = strchr(text, ':');
  for (int i = 0; colon && i < FAULTS; i++)
    if (is_name(text, (size_t)(colon - text), faults[i].kind)) fault_kind = i;
  if (fault_kind < 0) die("--fault", "KIND:N, KIND one of cut, flip, status, shut, stall");
  fault_every = number_option("--fault", colon + 1, 1, 1000000000);
}

int main(int count, char **arguments) {
  int64_t port = 0;
  for (int i = 1; i < count; i++) {
    bool more = i + 1 < count;
    if (!strcmp(arguments[i], "--port") && more) port = number_option("--port", arguments[++i], 0, 65535);
    else if (!strcmp(arguments[i], "--fault") && more) fault_option(arguments[++i]);
    else if (!strcmp(arguments[i], "--expect-body")) expect_body = true;
    else die("usage", "origin [--port N] [--expect-body] [--fault KIND:N]");
  }
  die_with_parent();
  take_signals();
  sigset_t none_blocked;
  sigemptyset(&none_blocked);
  build_answers();
  poller = epoll_create1(EPOLL_CLOEXEC);
  int listener = listen_on(port);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, ready[EVENTS];
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  while (!stopping) {
    int events = epoll_pwait(poller, ready, EVENTS, -1, &none_blocked);
    for (int i = 0; i < events; i++) {
      if (ready[i].data.ptr) on_event(ready[i].data.ptr);
      else accept_all(listener);
    }
    if (asked) report();
  }
  return 0;
}

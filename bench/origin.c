// The service behind the proxies: one thread, epoll, HTTP/1.1 keep-alive. It refuses every request whose framing leaves
// a doubt, so that a proxy cannot gain by sending sloppy ones. By path, with or without /tunnel in front:
//
//   /v1/stream?events=200&gap=5000   a stream of events, µs between them
//   /v1/chat/completions             1.2 KB of JSON, or with "stream":true such a stream
//   /v1/big?bytes=10485760           a large body
//   /v1/sink                         takes a large body
//   /v1/ws                           a WebSocket that sends back what comes
//   anything else                    1.2 KB of JSON
//
//   origin [--port N] [--expect-body] [--fault KIND:N] [--certificate FILE --key FILE]
//
// --port 0 (default) takes any free port, which the first line on stdout names. With --expect-body a body other than
// the load client's is refused. --fault makes every Nth answer, stream or message wrong: proof that the client sees it.
// On SIGUSR1 and at the end (SIGTERM) it prints what it has done so far as one line of JSON.
#define _GNU_SOURCE
#include "origin.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>

enum { EVENTS_AT_ONCE = 256, BACKLOG = 4096, SCRATCH = 1 << 18 };

bool expect_body;
uint64_t requests, refused, faulty, messages;
static uint64_t connections;
static int poller;
static SSL_CTX *secure;
static volatile sig_atomic_t stopping, asked;
static conn_t *dropped;
static char scratch[HEAD_LIMIT + SCRATCH];

static void on_signal(int signal) {
  if (signal == SIGTERM) stopping = 1;
  asked = 1;
}

static void report(void) {
  asked = 0;
  printf("{\"requests\":%lu,\"messages\":%lu,\"connections\":%lu,", requests, messages, connections);
  printf("\"refused\":%lu,\"faults\":%lu}\n", refused, faulty);
  fflush(stdout);
}

/// Signals arrive only inside epoll_pwait2: none can fall between the check of its flag and the wait.
static void take_signals(void) {
  struct sigaction action = {.sa_handler = on_signal};
  sigset_t both;
  sigemptyset(&both);
  sigaddset(&both, SIGTERM);
  sigaddset(&both, SIGUSR1);
  sigprocmask(SIG_BLOCK, &both, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGUSR1, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
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

static bool is_word(const char *text, size_t size, const char *word) {
  return size == strlen(word) && !strncasecmp(text, word, size);
}

/// METHOD SP target SP HTTP/1.1, with single spaces.
static const char *check_request_line(request_t *request, const char *line, size_t size) {
  const char *end = line + size, *space = memchr(line, ' ', size);
  if (!space || !is_token(line, (size_t)(space - line))) return "method";
  const char *target = space + 1, *second = memchr(target, ' ', (size_t)(end - target));
  if (!second || *target != '/') return "target";
  for (const char *p = target; p < second; p++)
    if (*p <= ' ' || *p == 127) return "byte in the target";
  if (end - second != 9 || memcmp(second, " HTTP/1.1", 9)) return "version";
  read_target(request, target, (size_t)(second - target));
  return NULL;
}

/// One field line: NULL, or why it is refused.
static const char *check_field(request_t *r, const char *line, size_t size) {
  const char *colon = memchr(line, ':', size), *end = line + size;
  if (!colon || !is_token(line, (size_t)(colon - line))) return "field name";
  for (const char *p = colon; p < end; p++)
    if (*p == '\r' || *p == '\n' || *p == 0) return "control byte in a field";
  size_t name = (size_t)(colon - line);
  const char *value = colon + 1;
  while (value < end && (*value == ' ' || *value == '\t')) value++;
  while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
  size_t length = (size_t)(end - value);
  if (is_word(line, name, "transfer-encoding")) return "transfer-encoding";
  if (is_word(line, name, "host")) r->hosts++;
  if (is_word(line, name, "connection")) {
    r->close_asked = is_word(value, length, "close");
    r->upgrade_named = is_word(value, length, "upgrade");
  }
  if (is_word(line, name, "upgrade")) r->upgrade = is_word(value, length, "websocket");
  if (is_word(line, name, "sec-websocket-version")) r->version_13 = is_word(value, length, "13");
  if (is_word(line, name, "sec-websocket-key") && length <= KEY_LIMIT) memcpy(r->key, value, length);
  if (!is_word(line, name, "content-length")) return NULL;
  r->body_left = decimal(value, length);
  return r->body_left < 0 || ++r->lengths > 1 ? "content-length" : NULL;
}

/// Checks a head with its closing empty line; NULL, or why it is refused.
static const char *check_head(request_t *request, const char *head, size_t size) {
  *request = (request_t){0};
  const char *end = head + size - 2, *line_end = memmem(head, size, "\r\n", 2);
  const char *wrong = check_request_line(request, head, (size_t)(line_end - head));
  for (const char *line = line_end + 2; !wrong && line < end; line = line_end + 2) {
    line_end = memmem(line, (size_t)(head + size - line), "\r\n", 2);
    wrong = check_field(request, line, (size_t)(line_end - line));
  }
  if (wrong) return wrong;
  if (request->hosts != 1) return "host";
  bool opens = request->upgrade && request->upgrade_named && request->version_13 && *request->key;
  return (request->kind == SOCKET) == opens && request->upgrade == opens ? NULL : "upgrade";
}

// MARK: connections

void drop(conn_t *c) {
  if (c->to.fd < 0) return;
  forget_stream(c);
  transport_close(&c->to);
  c->next_dropped = dropped;
  dropped = c;
}

/// Frees what was dropped, when nobody can hold it any more.
static void bury(void) {
  while (dropped) {
    conn_t *c = dropped;
    dropped = c->next_dropped;
    free(c->kept);
    free(c->rest);
    free(c);
  }
}

void await_room(conn_t *c, bool wanted) {
  if (wanted == c->waits_to_write) return;
  c->waits_to_write = wanted;
  struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_MOD, c->to.fd, &event);
}

void complain(const char *why) {
  if (++refused <= 5) fprintf(stderr, "origin refused a request: %s\n", why);
}

bool send_bytes(conn_t *c, const char *bytes, size_t size) {
  while (size && !c->rest) {
    ssize_t sent = transport_write(&c->to, bytes, size);
    if (sent < 0 && errno != EAGAIN) return drop(c), false;
    if (sent < 0) break;
    bytes += sent;
    size -= (size_t)sent;
  }
  if (!size) return true;
  char *rest = realloc(c->rest, c->rest_size + size);
  if (!rest) die("origin", "no memory");
  memcpy(rest + c->rest_size, bytes, size);
  c->rest = rest;
  c->rest_size += size;
  await_room(c, true);
  return true;
}

/// Sends what was kept, then goes on with what sends by itself; false when the connection is gone.
static bool on_writable(conn_t *c) {
  char *bytes = c->rest;
  size_t size = c->rest_size;
  c->rest = NULL;
  c->rest_size = 0;
  bool alive = send_bytes(c, bytes, size);
  free(bytes);
  if (!alive || c->rest) return alive;
  if (c->state == SENDING) return send_more(c);
  await_room(c, false);
  return true;
}

static void keep(conn_t *c, const char *bytes, size_t size) {
  if (!size) {
    free(c->kept);
    c->kept = NULL;
  } else {
    if (!c->kept) c->kept = malloc(HEAD_LIMIT);
    if (!c->kept) die("origin", "no memory");
    memcpy(c->kept, bytes, size);
  }
  c->kept_size = size;
}

/// Consumes one head or one piece of a body; its size, 0 when more bytes are needed, -1 when the connection is gone.
static ssize_t step(conn_t *c, const char *bytes, size_t size) {
  request_t *request = &c->request;
  size_t used = 0;
  if (c->state == HEAD) {
    const char *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (!end) return size >= HEAD_LIMIT ? (refuse_framing(c, "head too large") ? (ssize_t)size : -1) : 0;
    used = (size_t)(end - bytes) + 4;
    const char *wrong = check_head(request, bytes, used);
    c->chat_size = 0;
    if (wrong) return refuse_framing(c, wrong) ? (ssize_t)size : -1;
    c->state = BODY;
  } else {
    used = (int64_t)size < request->body_left ? size : (size_t)request->body_left;
    take_body(c, bytes, used);
    request->body_left -= (int64_t)used;
  }
  if (request->body_left) return (ssize_t)used;
  requests++;
  c->state = HEAD;
  if (request->close_asked) c->closing = true;
  return answer(c) ? (ssize_t)used : -1;
}

/// Works off bytes, one answer after the other, and keeps what cannot be understood yet.
static void advance(conn_t *c, char *bytes, size_t size) {
  size_t at = 0;
  while (at < size && !c->closing && !c->stalled && (c->state == HEAD || c->state == BODY || c->state == FRAMES)) {
    bool frames = c->state == FRAMES;
    ssize_t used = frames ? take_frames(c, bytes + at, size - at) : step(c, bytes + at, size - at);
    if (used < 0) return;
    if (!used) break;
    at += (size_t)used;
  }
  if (c->closing && !c->rest && c->state != STREAMING && c->state != SENDING) return drop(c);
  if (size - at > HEAD_LIMIT) return drop(c);  // nobody here sends so much before its turn
  keep(c, bytes + at, size - at);
}

static void on_readable(conn_t *c) {
  do {
    if (c->kept_size) memcpy(scratch, c->kept, c->kept_size);
    size_t before = c->kept_size;
    ssize_t got = transport_read(&c->to, scratch + before, SCRATCH);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return drop(c);
    advance(c, scratch, before + (size_t)got);
  } while (c->to.fd >= 0 && c->to.tls && SSL_has_pending(c->to.tls));
}

static void on_event(conn_t *c, uint32_t events) {
  if (events & EPOLLOUT) {
    if (!on_writable(c)) return;
    if (!c->rest && c->closing && c->state != STREAMING && c->state != SENDING) return drop(c);
  }
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(c);
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (fd < 0) return;
    conn_t *c = calloc(1, sizeof *c);
    if (!c) die("origin", "no memory");
    *c = (conn_t){.to.fd = fd, .fault = -1, .place = -1};
    connections++;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (secure) {
      c->to.tls = SSL_new(secure);
      SSL_set_fd(c->to.tls, fd);
      SSL_set_accept_state(c->to.tls);  // the first read shakes hands
    }
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

static SSL_CTX *server_context(const char *certificate, const char *key) {
  SSL_CTX *context = SSL_CTX_new(TLS_server_method());
  if (!context || SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
    die("--certificate", "certificate and key cannot be used");
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

int main(int count, char **arguments) {
  int64_t port = 0;
  const char *certificate = NULL, *key = NULL;
  for (int i = 1; i < count; i++) {
    bool more = i + 1 < count;
    if (!strcmp(arguments[i], "--port") && more) port = number_option("--port", arguments[++i], 0, 65535);
    else if (!strcmp(arguments[i], "--fault") && more) fault_option(arguments[++i]);
    else if (!strcmp(arguments[i], "--certificate") && more) certificate = arguments[++i];
    else if (!strcmp(arguments[i], "--key") && more) key = arguments[++i];
    else if (!strcmp(arguments[i], "--expect-body")) expect_body = true;
    else die("usage", "origin [options]; they stand at the top of origin.c");
  }
  settle_in();
  take_signals();
  if (certificate && key) secure = server_context(certificate, key);
  sigset_t none_blocked;
  sigemptyset(&none_blocked);
  build_answers();
  poller = epoll_create1(EPOLL_CLOEXEC);
  int listener = listen_on(port);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, ready[EVENTS_AT_ONCE];
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  while (!stopping) {
    uint64_t now = now_ns(), due = send_due(now), wait = due > now ? due - now : 0;
    struct timespec timeout = {(time_t)(wait / 1000000000), (long)(wait % 1000000000)};
    int events = epoll_pwait2(poller, ready, EVENTS_AT_ONCE, due ? &timeout : NULL, &none_blocked);
    for (int i = 0; i < events; i++) {
      if (ready[i].data.ptr) on_event(ready[i].data.ptr, ready[i].events);
      else accept_all(listener);
    }
    bury();
    if (asked) report();
  }
  return 0;
}

// The load client: one thread, epoll, a closed loop over keep-alive connections to 127.0.0.1. Each connection sends a
// request, waits for the whole answer, checks every byte of its body and sends the next one.
//
//   load --port N [--connections 64] [--seconds 2] [--warmup 0.5] [--get] [--path /v1/json]
//        [--pids A,B,…] [--origin-pid P] [--patience 5]
//   load --port N --requests N [--limit 120] …
//
//   --pids        the proxy's processes, whose CPU clocks are read at the two ends of the measured window
//   --origin-pid  the same for the origin; its share plus this client's tells whether the client side was the limit
//   --token       sent as a bearer token
//   --requests    exactly N requests instead of a window (for counting instructions); --limit bounds the seconds
//   --patience    seconds an answer may take before it counts as bad
//   --get         a GET with five fields instead of a POST of 1.2 KB of JSON
//
// Prints one JSON object; `requests` is what ended in the window, `answered` all good answers.
// Exit code 0: measured and no bad answer; 1: measured, bad answers; 2: not measured.
#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_LIMIT = 16384, EVENTS = 512, MOST_CONNECTIONS = 8192, MOST_PIDS = 64, MOST_BAD = 1000 };

// MARK: latencies, in a histogram of 64 steps per power of two: a quantile is off by less than 1 %

enum { STEP_BITS = 6, STEPS = 1 << STEP_BITS, BUCKETS = 64 * STEPS };
static uint32_t buckets[BUCKETS];
static uint64_t slowest;

static void record(uint64_t ns) {
  int index = (int)ns;
  if (ns >= STEPS) {
    int shift = 63 - __builtin_clzll(ns) - STEP_BITS;
    index = (shift + 1) * STEPS + (int)((ns >> shift) & (STEPS - 1));
  }
  buckets[index]++;
  if (ns > slowest) slowest = ns;
}

/// The middle of the bucket that holds the quantile, in µs.
static double quantile(double q, uint64_t count) {
  uint64_t rank = (uint64_t)(q * (double)count), seen = 0;
  for (int i = 0; i < BUCKETS; i++) {
    seen += buckets[i];
    if (seen <= rank) continue;
    if (i < STEPS) return i / 1e3;
    int shift = i / STEPS - 1;
    double low = (double)((uint64_t)(STEPS + i % STEPS) << shift);
    return (low + (double)(1ull << shift) / 2) / 1e3;
  }
  return 0;
}

// MARK: clocks

static uint64_t read_clock(clockid_t id) {
  struct timespec t;
  if (clock_gettime(id, &t)) return 0;
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void) { return read_clock(CLOCK_MONOTONIC); }

/// CPU time of a whole process in ns, ended threads included. A process that is gone cannot be measured.
static uint64_t process_ns(pid_t pid) {
  clockid_t id;
  uint64_t ns = clock_getcpuclockid(pid, &id) ? 0 : read_clock(id);
  if (ns) return ns;
  fprintf(stderr, "load: process %d is gone, its CPU clock cannot be read\n", pid);
  exit(2);
}

typedef struct { uint64_t at, proxy, origin, own; } reading_t;

// MARK: state

enum bad { BAD_CONNECT, BAD_STATUS, BAD_HEAD, BAD_BODY, BAD_CUT, BAD_LATE, BAD_KINDS };
static const char *bad_names[BAD_KINDS] = {"connect", "status", "head", "body", "cut", "late"};

typedef struct {
  int fd;  // -1: not connected
  bool waiting;  // a request is on its way
  bool waits_to_write;
  size_t sent;
  char in[ANSWER_LIMIT];
  size_t have, head;  // head: bytes of the answer's head once it is whole, else 0
  bool close_after;
  uint64_t started;
} conn_t;

static struct {
  uint16_t port;
  int connections;
  double seconds, warmup, patience, limit;
  uint64_t requests;  // 0: a window of time
  bool get;
  const char *path;
  const char *token;  // sent as a bearer token, or NULL
  pid_t pids[MOST_PIDS], origin_pid;
  int pid_count;
} plan = {.connections = 64, .seconds = 2, .warmup = 0.5, .patience = 5, .limit = 120, .path = "/v1/json"};

static char request[2048 + PAYLOAD_SIZE], expected[PAYLOAD_SIZE];
static size_t request_size;
static conn_t *conns;
static int poller;
static bool measuring, ending;
static uint64_t started, counted, whole, reconnects, bad[BAD_KINDS], bad_total;

static reading_t read_clocks(void) {
  reading_t r = {.at = now_ns(), .own = read_clock(CLOCK_PROCESS_CPUTIME_ID)};
  for (int i = 0; i < plan.pid_count; i++) r.proxy += process_ns(plan.pids[i]);
  if (plan.origin_pid) r.origin = process_ns(plan.origin_pid);
  return r;
}

static void build_request(void) {
  char body[PAYLOAD_SIZE];
  payload(body, "request");
  payload(expected, "answer");
  char common[1024];
  int size = snprintf(common, sizeof common, "Host: bench.example\r\nUser-Agent: bench/1\r\n"
                      "Accept: application/json\r\n%s%s%s", plan.token ? "Authorization: Bearer " : "",
                      plan.token ? plan.token : "", plan.token ? "\r\n" : "");
  if (size >= (int)sizeof common) die("--token", "too long");
  if (plan.get)
    size = snprintf(request, 2048, "GET %s HTTP/1.1\r\n%sAccept-Language: en\r\nX-Client-Version: 1.0.0\r\n\r\n",
                    plan.path, common);
  else
    size = snprintf(request, 2048, "POST %s HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
                    plan.path, common, PAYLOAD_SIZE);
  if (size >= 2048) die("--path", "too long");
  request_size = (size_t)size;
  if (plan.get) return;
  memcpy(request + size, body, PAYLOAD_SIZE);
  request_size += PAYLOAD_SIZE;
}

// MARK: one connection

static void begin(conn_t *c);

static void disconnect(conn_t *c) {
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
  c->waiting = false;
}

/// Connects and waits for it: on loopback that is one system call, and a proxy that takes seconds is a bad answer.
static bool connect_to(conn_t *c) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(plan.port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  struct timeval patience = {.tv_sec = (time_t)plan.patience + 1};
  int on = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die("socket", strerror(errno));
  setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) return disconnect(c), false;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  c->waits_to_write = false;
  if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl", strerror(errno));
  return true;
}

/// Counts a bad answer. The connection is of no more use: what follows on it cannot be told apart.
static void fail(conn_t *c, enum bad kind) {
  bad[kind]++;
  bad_total++;
  disconnect(c);
  if (bad_total >= MOST_BAD) ending = true;  // a proxy that is down must not be hammered for the whole window
  begin(c);
}

static void send_rest(conn_t *c) {
  while (c->sent < request_size) {
    ssize_t n = send(c->fd, request + c->sent, request_size - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return fail(c, BAD_CUT);
    c->sent += (size_t)n;
  }
  bool waits = c->sent < request_size;
  if (waits == c->waits_to_write) return;
  c->waits_to_write = waits;
  struct epoll_event event = {.events = EPOLLIN | (waits ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

/// Sends the next request, unless the run is ending or all are sent. A refused connection ends the run: on loopback it
/// means that nobody listens, and the figures of a run without its connections would say nothing.
static void begin(conn_t *c) {
  if (ending || (plan.requests && started >= plan.requests)) return;
  started++;
  if (c->fd < 0 && !connect_to(c)) {
    bad[BAD_CONNECT]++;
    bad_total++;
    ending = true;
    return;
  }
  c->waiting = true;
  c->sent = c->have = c->head = 0;
  c->close_after = false;
  c->started = now_ns();
  send_rest(c);
}

static void complete(conn_t *c) {
  whole++;
  if (measuring) {
    counted++;
    record(now_ns() - c->started);
  }
  c->waiting = false;
  if (c->close_after) {
    reconnects++;
    disconnect(c);
  }
  begin(c);
}

/// Reads the fields that decide the answer's end; false when they are not what a relayed answer must have.
static bool read_head(conn_t *c) {
  int lengths = 0;
  const char *end = c->in + c->head - 2, *line = memmem(c->in, c->head, "\r\n", 2);
  for (line += 2; line < end;) {
    const char *line_end = memmem(line, (size_t)(c->in + c->head - line), "\r\n", 2);
    const char *colon = memchr(line, ':', (size_t)(line_end - line));
    if (!colon) return false;
    const char *value = colon + 1;
    while (value < line_end && *value == ' ') value++;
    size_t name = (size_t)(colon - line), size = (size_t)(line_end - value);
    if (name == 17 && !strncasecmp(line, "transfer-encoding", 17)) return false;
    if (name == 10 && !strncasecmp(line, "connection", 10))
      c->close_after = size == 5 && !strncasecmp(value, "close", 5);
    if (name == 14 && !strncasecmp(line, "content-length", 14)) {
      lengths++;
      if (decimal(value, size) != PAYLOAD_SIZE) return false;
    }
    line = line_end + 2;
  }
  return lengths == 1;
}

static void on_answer(conn_t *c) {
  if (!c->head) {
    const char *end = memmem(c->in, c->have, "\r\n\r\n", 4);
    if (!end && c->have == ANSWER_LIMIT) return fail(c, BAD_HEAD);
    if (!end) return;
    c->head = (size_t)(end - c->in) + 4;
    if (memcmp(c->in, "HTTP/1.1 200 ", 13)) return fail(c, BAD_STATUS);
    if (!read_head(c)) return fail(c, BAD_HEAD);
  }
  size_t size = c->have - c->head;
  if (size < PAYLOAD_SIZE) return;
  if (size > PAYLOAD_SIZE || memcmp(c->in + c->head, expected, PAYLOAD_SIZE)) return fail(c, BAD_BODY);
  complete(c);
}

static void on_event(conn_t *c, uint32_t events) {
  if (c->fd < 0) return;
  if (events & EPOLLOUT) send_rest(c);
  if (c->fd < 0 || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  ssize_t n = recv(c->fd, c->in + c->have, ANSWER_LIMIT - c->have, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return;
  if (n > 0 && !c->waiting) return fail(c, BAD_BODY);  // bytes nobody asked for
  if (n <= 0 && !c->waiting) return disconnect(c);
  if (n <= 0) return fail(c, BAD_CUT);
  c->have += (size_t)n;
  on_answer(c);
}

// MARK: the run

/// Handles events until `deadline` (ns), or until `done` says so.
static void run_until(uint64_t deadline, bool (*done)(void)) {
  struct epoll_event ready[EVENTS];
  for (uint64_t now = now_ns(); now < deadline && !(done && done()); now = now_ns()) {
    int wait = (int)((deadline - now) / 1000000 + 1);
    int n = epoll_wait(poller, ready, EVENTS, wait);
    for (int i = 0; i < n; i++) on_event(ready[i].data.ptr, ready[i].events);
  }
}

static bool none_waiting(void) {
  for (int i = 0; i < plan.connections; i++)
    if (conns[i].waiting) return false;
  return true;
}

static bool too_bad(void) { return ending; }

static bool all_answered(void) { return ending || whole + bad_total >= plan.requests; }

/// Lets the requests that are on their way end; those that do not within the patience are bad answers.
static void drain(void) {
  ending = true;
  run_until(now_ns() + (uint64_t)(plan.patience * 1e9), none_waiting);
  for (int i = 0; i < plan.connections; i++)
    if (conns[i].waiting) fail(&conns[i], BAD_LATE);
}

static void start_all(void) {
  conns = calloc((size_t)plan.connections, sizeof *conns);
  if (!conns) die("load", "no memory");
  for (int i = 0; i < plan.connections; i++) conns[i].fd = -1;
  for (int i = 0; i < plan.connections; i++) begin(&conns[i]);
}

static void print_result(reading_t a, reading_t b) {
  double seconds = (double)(b.at - a.at) / 1e9, requests = counted ? (double)counted : 1;
  double cpu = (double)(b.proxy - a.proxy), side = (double)(b.origin - a.origin + b.own - a.own);
  printf("{\"requests\":%lu,\"seconds\":%.4f,\"rps\":%.1f,", counted, seconds, (double)counted / seconds);
  if (plan.pid_count && counted) printf("\"cpu_us_per_request\":%.4f,", cpu / requests / 1e3);
  else printf("\"cpu_us_per_request\":null,");
  printf("\"proxy_share\":%.3f,\"load_share\":%.3f,", cpu / seconds / 1e9, side / seconds / 1e9);
  printf("\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,", quantile(0.5, counted), quantile(0.99, counted),
         (double)slowest / 1e3);
  printf("\"bad\":%lu,\"bad_kinds\":{", bad_total);
  for (int i = 0; i < BAD_KINDS; i++) printf("%s\"%s\":%lu", i ? "," : "", bad_names[i], bad[i]);
  printf("},\"answered\":%lu,\"reconnects\":%lu}\n", whole, reconnects);
}

static double seconds_option(const char *name, const char *text) {
  char *end;
  double value = strtod(text, &end);
  if (*end || end == text || !(value >= 0 && value <= 3600)) die(name, "seconds, 0 to 3600");
  return value;
}

static void pids_option(const char *text) {
  for (const char *p = text; *p;) {
    size_t size = strcspn(p, ",");
    int64_t pid = decimal(p, size);
    if (pid < 1 || pid > INT32_MAX || plan.pid_count == MOST_PIDS) die("--pids", "process ids with commas between");
    plan.pids[plan.pid_count++] = (pid_t)pid;
    p += size + (p[size] == ',');
  }
}

static bool take_option(const char *name, const char *value) {
  if (!strcmp(name, "--port")) plan.port = (uint16_t)number_option(name, value, 1, 65535);
  else if (!strcmp(name, "--connections")) plan.connections = (int)number_option(name, value, 1, MOST_CONNECTIONS);
  else if (!strcmp(name, "--seconds")) plan.seconds = seconds_option(name, value);
  else if (!strcmp(name, "--warmup")) plan.warmup = seconds_option(name, value);
  else if (!strcmp(name, "--patience")) plan.patience = seconds_option(name, value);
  else if (!strcmp(name, "--limit")) plan.limit = seconds_option(name, value);
  else if (!strcmp(name, "--requests")) plan.requests = (uint64_t)number_option(name, value, 1, 1000000000);
  else if (!strcmp(name, "--path")) plan.path = value;
  else if (!strcmp(name, "--token")) plan.token = value;
  else if (!strcmp(name, "--pids")) pids_option(value);
  else if (!strcmp(name, "--origin-pid")) plan.origin_pid = (pid_t)number_option(name, value, 1, INT32_MAX);
  else return false;
  return true;
}

int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) {
    if (!strcmp(arguments[i], "--get")) plan.get = true;
    else if (i + 1 >= count || !take_option(arguments[i], arguments[i + 1])) die("no such option", arguments[i]);
    else i++;
  }
  if (!plan.port) die("usage", "load --port N [options]; they stand at the top of load.c");
  die_with_parent();
  build_request();
  poller = epoll_create1(EPOLL_CLOEXEC);
  start_all();
  if (!plan.requests) run_until(now_ns() + (uint64_t)(plan.warmup * 1e9), too_bad);
  measuring = true;
  reading_t first = read_clocks();
  double window = plan.requests ? plan.limit : plan.seconds;
  run_until(first.at + (uint64_t)(window * 1e9), plan.requests ? all_answered : too_bad);
  reading_t last = read_clocks();
  measuring = false;
  drain();
  print_result(first, last);
  return bad_total ? 1 : 0;
}

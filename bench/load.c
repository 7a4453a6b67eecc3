// The load client: one thread, epoll, many connections to 127.0.0.1. Each asks for something, waits for all of it,
// checks every byte and asks again: JSON, streams of events, large bodies, messages on WebSockets; with TLS or without.
//
//   load --port N [--connections 64] [--seconds 2] [--warmup 0.5] [--pids A,B,…] [--origin-pid P] …
//   load --port N --requests N [--limit 120] …
//   load --port N --hold …
//
// The options stand below, at `MARK: options`. Prints one JSON object; `requests` is what ended in the window (with
// --hold, the proofs), `answered` all good answers.
// Exit code 0: measured and no bad answer; 1: measured, bad answers; 2: not measured.
#define _GNU_SOURCE
#include "load.h"

#include <sys/epoll.h>

enum { EVENTS_AT_ONCE = 512, HOLD_OPENING = 100, SLOW_NS = 50000000 };

plan_t plan = {.connections = 64, .seconds = 2, .warmup = 0.5, .patience = 5, .limit = 120, .status = 200,
               .path = "/v1/json"};

// MARK: latencies, in a histogram of 64 steps per power of two: a quantile is off by less than 1 %

enum { STEP_BITS = 6, STEPS = 1 << STEP_BITS, BUCKETS = 64 * STEPS };
static uint32_t buckets[BUCKETS];
static uint64_t slowest, recorded;

void record(uint64_t ns) {
  int index = (int)ns;
  if (ns >= STEPS) {
    int shift = 63 - __builtin_clzll(ns) - STEP_BITS;
    index = (shift + 1) * STEPS + (int)((ns >> shift) & (STEPS - 1));
  }
  buckets[index]++;
  recorded++;
  if (ns > slowest) slowest = ns;
}

/// The middle of the bucket that holds the quantile, in µs.
static double quantile(double q) {
  uint64_t rank = (uint64_t)(q * (double)recorded), seen = 0;
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

/// CPU time of a whole process in ns, ended threads included. A process that is gone cannot be measured.
static uint64_t process_ns(pid_t pid) {
  clockid_t id;
  uint64_t ns = clock_getcpuclockid(pid, &id) ? 0 : read_clock(id);
  if (ns) return ns;
  fprintf(stderr, "load: process %d is gone, its CPU clock cannot be read\n", pid);
  exit(2);
}

typedef struct { uint64_t at, proxy, origin, own; } reading_t;

static reading_t read_clocks(void) {
  reading_t r = {.at = now_ns(), .own = read_clock(CLOCK_PROCESS_CPUTIME_ID)};
  for (int i = 0; i < plan.pid_count; i++) r.proxy += process_ns(plan.pids[i]);
  if (plan.origin_pid) r.origin = process_ns(plan.origin_pid);
  return r;
}

// MARK: the run

static int started_connections;
static uint64_t next_start, next_due, next_slow, step_ns;
static volatile sig_atomic_t woken;

static void on_signal(int signal) {
  (void)signal;
  woken = 1;
}

/// Gives connections their first turn, one after the other; returns when the next one is due, 0 for none.
static uint64_t start_connections(uint64_t now) {
  while (started_connections < plan.connections && now >= next_start && !ending) {
    if (plan.hold && (uint64_t)started_connections - held - bad_total >= HOLD_OPENING) return now + 1000000;
    conn_t *c = &conns[started_connections++];
    next_start += plan.stagger_us * 1000;
    if (plan.hold && plan.mode == SOCKETS) connect_to(c);
    else if (plan.hold) ask(c, 0);
    else take_turn(c);
  }
  return started_connections < plan.connections ? next_start : 0;
}

/// Asks for all that is due. What finds no connection at rest waits for one, and its time counts from when it was due.
static uint64_t ask_due(uint64_t now) {
  static bool waited;
  if (!plan.rate || ending) return 0;
  for (; next_due <= now; next_due += step_ns) {
    if (!ask_any(waited ? next_due : 0)) {
      waited = true;
      return 0;
    }
  }
  waited = false;
  return next_due;
}

static uint64_t read_due(uint64_t now) {
  if (!plan.slow) return 0;
  for (; next_slow <= now; next_slow = now + SLOW_NS)
    for (int i = 0; i < started_connections; i++) read_slowly(&conns[i]);
  return next_slow;
}

/// Handles events until `deadline` (ns), or until `done` says so.
static void run_until(uint64_t deadline, bool (*done)(void)) {
  struct epoll_event ready[EVENTS_AT_ONCE];
  sigset_t none_blocked;
  sigemptyset(&none_blocked);
  for (uint64_t now = now_ns(); now < deadline && !(done && done()); now = now_ns()) {
    uint64_t next = deadline, due[] = {start_connections(now), ask_due(now), read_due(now)};
    for (int i = 0; i < 3; i++)
      if (due[i] && due[i] < next) next = due[i];
    uint64_t wait = next > now ? next - now : 0;
    struct timespec timeout = {(time_t)(wait / 1000000000), (long)(wait % 1000000000)};
    int n = epoll_pwait2(poller, ready, EVENTS_AT_ONCE, &timeout, &none_blocked);
    for (int i = 0; i < n; i++) on_event(ready[i].data.ptr, ready[i].events);
  }
}

static bool is_waiting(const conn_t *c) { return c->state == SHAKING || c->state == OPENING || c->state == ASKED; }

static bool none_waiting(void) {
  for (int i = 0; i < plan.connections; i++)
    if (is_waiting(&conns[i])) return false;
  return true;
}

static bool too_bad(void) { return ending; }

static bool all_answered(void) { return ending || whole + bad_total >= plan.requests; }

static bool all_held(void) { return ending || held + bad_total >= (uint64_t)plan.connections; }

static bool is_woken(void) { return woken; }

static bool all_proved(void) { return whole + bad_total >= plan.requests; }

/// Lets what is on its way end; what does not within the patience is a bad answer.
static void drain(void) {
  ending = true;
  if (plan.leave) return;
  run_until(now_ns() + (uint64_t)(plan.patience * 1e9), none_waiting);
  for (int i = 0; i < plan.connections; i++)
    if (is_waiting(&conns[i])) fail(&conns[i], BAD_LATE);
}

/// Opens all connections, lets them rest until it is woken, and asks once on each.
static void hold(void) {
  uint64_t limit = (uint64_t)(plan.limit * 1e9);
  measuring = false;
  run_until(now_ns() + limit, all_held);
  printf("{\"held\":%lu}\n", held);
  fflush(stdout);
  run_until(now_ns() + limit, is_woken);
  measuring = true;
  plan.requests = whole + held;
  for (int i = 0; i < plan.connections; i++)
    if (conns[i].held && conns[i].state == RESTING) ask(&conns[i], 0);
  run_until(now_ns() + (uint64_t)(plan.patience * 1e9), all_proved);
}

static void start_all(void) {
  struct sigaction action = {.sa_handler = on_signal};
  sigset_t wake;
  sigemptyset(&wake);
  sigaddset(&wake, SIGUSR1);
  sigprocmask(SIG_BLOCK, &wake, NULL);
  sigaction(SIGUSR1, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  poller = epoll_create1(EPOLL_CLOEXEC);
  conns = calloc((size_t)plan.connections, sizeof *conns);
  if (!conns) die("load", "no memory");
  for (int i = 0; i < plan.connections; i++) conns[i].to.fd = -1;
  next_start = next_due = next_slow = now_ns();
  if (plan.rate) step_ns = (uint64_t)(1e9 / plan.rate);
}

static void print_result(reading_t a, reading_t b) {
  double seconds = (double)(b.at - a.at) / 1e9, side = (double)(b.origin - a.origin + b.own - a.own);
  printf("{\"requests\":%lu,\"events\":%lu,\"bytes\":%lu,\"seconds\":%.4f,", counted, chunks, moved, seconds);
  if (plan.pid_count) printf("\"cpu_ns\":%lu,", b.proxy - a.proxy);
  else printf("\"cpu_ns\":null,");
  double proxy = (double)(b.proxy - a.proxy);
  printf("\"proxy_share\":%.3f,\"load_share\":%.3f,", proxy / seconds / 1e9, side / seconds / 1e9);
  if (recorded)
    printf("\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,", quantile(0.5), quantile(0.99), (double)slowest / 1e3);
  else printf("\"p50_us\":null,\"p99_us\":null,\"max_us\":null,");
  printf("\"bad\":%lu,\"bad_kinds\":{", bad_total);
  static const char *names[BAD_KINDS] = {"connect", "tls", "status", "head", "frame", "body", "cut", "late"};
  for (int i = 0; i < BAD_KINDS; i++) printf("%s\"%s\":%lu", i ? "," : "", names[i], bad[i]);
  printf("},\"answered\":%lu,\"reconnects\":%lu,\"races\":%lu,\"held\":%lu}\n", whole, reconnects, raced, held);
}

// MARK: options
//
//   --mode           answers (default), streams, sockets
//   --path           what is asked for; several with commas between are asked in turn
//   --get            a GET with five fields instead of a POST of 1.2 KB of JSON
//   --tokens         a file with a bearer token a line, used in turn
//   --upload         bytes of a large request body
//   --download       bytes of the large answer that is expected
//   --events         events of each stream
//   --status         that the answers must have (200); others may have any body
//   --rate           requests a second of all connections together, instead of a closed loop
//   --stagger        µs between the connections' first requests
//   --slow           bytes a second that each connection reads
//   --tls            speaks TLS
//   --fresh          a new connection for each request
//   --seconds        the window, after --warmup
//   --requests       exactly N requests instead of a window; --limit bounds the seconds
//   --hold           opens all connections (with one request each, but for sockets), prints a line, waits for SIGUSR1,
//                    then asks once on each, which proves that they are alive
//   --races          a kept connection that ends under a new request is a race, which is counted, and sent again
//   --leave          what is on its way at the end is left, not awaited
//   --patience       seconds an answer may take before it counts as bad
//   --pids           the proxy's processes, whose CPU clocks are read at the two ends of the measured window
//   --origin-pid     the same for the origin; its share plus this client's tells whether the client side was the limit

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

static enum mode mode_option(const char *text) {
  static const char *names[] = {"answers", "streams", "sockets"};
  for (int i = 0; i < 3; i++)
    if (!strcmp(text, names[i])) return (enum mode)i;
  die("--mode", "answers, streams or sockets");
}

static bool take_flag(const char *name) {
  static const struct { const char *name; bool *value; } rows[] = {
      {"--get", &plan.get}, {"--tls", &plan.tls}, {"--fresh", &plan.fresh}, {"--hold", &plan.hold},
      {"--races", &plan.races}, {"--leave", &plan.leave},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    if (!strcmp(name, rows[i].name)) return *rows[i].value = true;
  return false;
}

static bool take_number(const char *name, const char *value) {
  static const struct { const char *name; uint64_t *value; int64_t low, high; } rows[] = {
      {"--requests", &plan.requests, 1, 1000000000}, {"--upload", &plan.upload, 1, 1 << 30},
      {"--download", &plan.download, 1, 1 << 30}, {"--slow", &plan.slow, 1000, 1000000000},
      {"--events", &plan.events, 1, 100000}, {"--stagger", &plan.stagger_us, 0, 1000000},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    if (strcmp(name, rows[i].name)) continue;
    *rows[i].value = (uint64_t)number_option(name, value, rows[i].low, rows[i].high);
    return true;
  }
  return false;
}

static bool take_option(const char *name, const char *value) {
  if (take_number(name, value)) return true;
  if (!strcmp(name, "--port")) plan.port = (uint16_t)number_option(name, value, 1, 65535);
  else if (!strcmp(name, "--connections")) plan.connections = (int)number_option(name, value, 1, MOST_CONNECTIONS);
  else if (!strcmp(name, "--mode")) plan.mode = mode_option(value);
  else if (!strcmp(name, "--seconds")) plan.seconds = seconds_option(name, value);
  else if (!strcmp(name, "--warmup")) plan.warmup = seconds_option(name, value);
  else if (!strcmp(name, "--patience")) plan.patience = seconds_option(name, value);
  else if (!strcmp(name, "--limit")) plan.limit = seconds_option(name, value);
  else if (!strcmp(name, "--rate")) plan.rate = (double)number_option(name, value, 1, 1000000);
  else if (!strcmp(name, "--status")) plan.status = (int)number_option(name, value, 200, 599);
  else if (!strcmp(name, "--path")) plan.path = value;
  else if (!strcmp(name, "--tokens")) plan.tokens = value;
  else if (!strcmp(name, "--pids")) pids_option(value);
  else if (!strcmp(name, "--origin-pid")) plan.origin_pid = (pid_t)number_option(name, value, 1, INT32_MAX);
  else return false;
  return true;
}

int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) {
    if (take_flag(arguments[i])) continue;
    if (i + 1 >= count || !take_option(arguments[i], arguments[i + 1])) die("no such option", arguments[i]);
    i++;
  }
  if (!plan.port) die("usage", "load --port N [options]; they stand in load.c");
  if (plan.mode == STREAMS && !plan.events) die("--events", "streams have some");
  settle_in();
  build_expected();
  build_requests();
  start_all();
  if (!plan.requests && !plan.hold) run_until(now_ns() + (uint64_t)(plan.warmup * 1e9), too_bad);
  measuring = true;
  reading_t first = read_clocks();
  double window = plan.requests ? plan.limit : plan.seconds;
  if (plan.hold) hold();
  else run_until(first.at + (uint64_t)(window * 1e9), plan.requests ? all_answered : too_bad);
  reading_t last = read_clocks();
  measuring = false;
  drain();
  print_result(first, last);
  return bad_total ? 1 : 0;
}

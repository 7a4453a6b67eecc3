// The CPU clock of a thread that runs scripts: a timer on its CPU time whose signal handler sets a hook on the script
// that runs, once it is overdue. Until then scripts run without any hook, which would make them twice as slow.
//
// What a hypervisor takes from a thread counts as the thread's CPU time, so that a script of some microseconds may be
// seen by two ticks and more. So a script that was seen by as many as it may is a suspect at first: a hook and the
// loops of C count what it still does, and what does much is stopped. One that was only held up ends before.
//
// Owns: the signal SIGPROF and its handler. Called by: LuaBridge (start, end); the handler by the kernel, on the thread
// whose clock it is. Never: does anything in the handler but count and set the hook, as lua.c does for SIGINT.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static pthread_once_t installed = PTHREAD_ONCE_INIT;

static void tick(int signal, siginfo_t *information, void *frame) {
  (void)signal;
  (void)frame;
  if (information->si_code != SI_TIMER) return;
  clua_clock *clock = information->si_value.sival_ptr;
  lua_State *running = clock->running;
  if (running == NULL) return;
  clock->ticks += 1;
  if (clock->ticks < clock->limit) return;
  if (!clock->suspect) {
    clock->looks = CLUA_SUSPECT_LOOKS;
    clock->suspect = 1;
    lua_sethook(running, clua_overdue_hook, CLUA_SUSPECT_MASK, CLUA_SUSPECT_INSTRUCTIONS);
  }
  if (clock->ticks < clock->limit + CLUA_SUSPECT_TICKS) return;
  clock->overdue = 1;
  // At further ticks again: the hook may have been set while Lua looked the other way. Not at each of them, since it
  // walks all frames of a deep recursion, which can take as long as a tick.
  uint32_t late = clock->ticks - clock->limit - CLUA_SUSPECT_TICKS;
  if ((late & (late - 1)) == 0) lua_sethook(running, clua_overdue_hook, CLUA_HOOK_MASK, 1);
}

// There when the program is built with one of the sanitizers, which make scripts several times slower.
extern void __tsan_init(void) __attribute__((weak));
extern void __asan_init(void) __attribute__((weak));

uint64_t clua_tick_nanoseconds(void) { return __tsan_init == NULL && __asan_init == NULL ? 2000000 : 16000000; }

uint64_t clua_seen_tick_nanoseconds(void) {
  uint64_t asked = clua_tick_nanoseconds();
  struct timespec kernel;
  if (clock_getres(CLOCK_MONOTONIC_COARSE, &kernel) != 0) return asked;
  uint64_t every = (uint64_t)kernel.tv_sec * 1000000000u + (uint64_t)kernel.tv_nsec;
  return every == 0 ? asked : (asked + every - 1) / every * every;
}

// ThreadSanitizer keeps signals back until the next call that may block, and a script that never ends makes none. So
// the handler is given to the kernel past it.
typedef struct kernel_action {
  void (*handler)(int, siginfo_t *, void *);
  unsigned long flags;
  void (*restorer)(void);
  uint64_t mask;
} kernel_action;

#ifdef __x86_64__
void clua_signal_return(void);
__asm__(".text\n.globl clua_signal_return\nclua_signal_return:\n  movl $15, %eax\n  syscall\n");
enum { WITH_RESTORER = 0x04000000 };
#else
enum { WITH_RESTORER = 0 };
#define clua_signal_return NULL
#endif

static void install_past_sanitizer(void) {
  kernel_action action = {
      .handler = tick, .flags = SA_RESTART | SA_SIGINFO | WITH_RESTORER, .restorer = clua_signal_return};
  syscall(SYS_rt_sigaction, SIGPROF, &action, NULL, sizeof action.mask);
}

static void install(void) {
  if (__tsan_init != NULL) {
    install_past_sanitizer();
    return;
  }
  struct sigaction action = {.sa_sigaction = tick, .sa_flags = SA_RESTART | SA_SIGINFO};
  sigemptyset(&action.sa_mask);
  sigaction(SIGPROF, &action, NULL);
}

static void change_mask(int how) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPROF);
  pthread_sigmask(how, &signals, NULL);
}

clua_clock *clua_clock_start(void) {
  pthread_once(&installed, install);
  clua_clock *clock = calloc(1, sizeof(clua_clock));
  if (clock == NULL) return NULL;
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
  event.sigev_value.sival_ptr = clock;
  event.sigev_notify_thread_id = gettid();
  timer_t timer;
  if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) != 0) {
    free(clock);
    return NULL;
  }
  clock->timer = timer;
  change_mask(SIG_UNBLOCK);
  struct timespec period = {0, (long)clua_tick_nanoseconds()};
  struct itimerspec every = {period, period};
  if (timer_settime(timer, 0, &every, NULL) != 0) {
    int reason = errno;
    timer_delete(timer);
    free(clock);
    errno = reason;
    return NULL;
  }
  return clock;
}

uint64_t clua_thread_nanoseconds(void) {
  struct timespec now = {0, 0};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void clua_clock_end(clua_clock *clock) {
  if (clock == NULL) return;
  // A tick that is on its way would find the clock freed.
  change_mask(SIG_BLOCK);
  timer_delete(clock->timer);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPROF);
  struct timespec now = {0, 0};
  while (sigtimedwait(&signals, NULL, &now) > 0) continue;
  change_mask(SIG_UNBLOCK);
  free(clock);
}

// The one look of many at which a suspect has done too much.
static int is_busy(clua_clock *clock, lua_State *L) {
  clock->looks -= 1;
  if (clock->looks > 0) return 0;
  clock->overdue = 1;
  // Whatever catches what is raised now is stopped at its next step.
  lua_sethook(L, clua_overdue_hook, CLUA_HOOK_MASK, 1);
  return 1;
}

int clua_is_overdue(lua_State *L) {
  clua_machine *machine = clua_of(L);
  clua_clock *clock = machine->clock;
  return clock->overdue || machine->sticky || (clock->suspect && is_busy(clock, L));
}

int clua_raise_limit(lua_State *L) {
  clua_machine *machine = clua_of(L);
  if (!machine->sticky) clua_error_limit(machine, L, CLUA_ERROR_CPU);
  // Needs no memory, and no script ever sees it.
  lua_pushlightuserdata(L, machine);
  return lua_error(L);
}

void clua_overdue_hook(lua_State *L, lua_Debug *record) {
  (void)record;
  if (clua_is_overdue(L)) {
    clua_raise_limit(L);
    return;
  }
  // Left over in a coroutine that outlived the slice.
  if (!clua_of(L)->clock->suspect) lua_sethook(L, NULL, 0, 0);
}

void clua_recheck(lua_State *L, int status) {
  clua_machine *machine = clua_of(L);
  if (!machine->sticky && status != LUA_OK && status != LUA_YIELD && clua_is_memory_error(L, status)) {
    clua_error_limit(machine, L, CLUA_ERROR_MEMORY);
  }
  if (clua_is_overdue(L)) clua_raise_limit(L);
}

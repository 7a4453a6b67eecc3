// Linux calls that `import Glibc` leaves out: whole headers, and functions that stand behind _GNU_SOURCE. The macro
// itself must not be defined here: Swift's own view of the C library was made without it, and the two would differ.
#ifndef CLINUX_SHIM_H
#define CLINUX_SHIM_H
#include <malloc.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

extern int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
extern int clearenv(void);
extern long syscall(long number, ...);
extern int pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *deadline);

// Swift hides fork from programs with threads; the one call here comes before there are any.
static inline pid_t edge_fork(void) { return fork(); }

// mremap stands behind _GNU_SOURCE and takes variable arguments.
extern void *mremap(void *memory, size_t size, size_t wanted, int flags, ...);
static inline void *edge_grow_map(void *memory, size_t size, size_t wanted) {
  return mremap(memory, size, wanted, 1 /* MREMAP_MAYMOVE */);
}

// Calls with variable or newer arguments than Swift imports.
static inline int edge_prctl(int option, unsigned long value) { return prctl(option, value, 0ul, 0ul, 0ul); }
static inline int edge_close_from(unsigned int first) { return (int)syscall(SYS_close_range, first, ~0u, 0u); }

#endif

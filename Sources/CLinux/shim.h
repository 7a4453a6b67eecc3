// Linux calls that `import Glibc` leaves out: whole headers, and functions that stand behind _GNU_SOURCE. The macro
// itself must not be defined here: Swift's own view of the C library was made without it, and the two would differ.
#ifndef CLINUX_SHIM_H
#define CLINUX_SHIM_H
#include <errno.h>
#include <fcntl.h>
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

#include "scan.h"

extern int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
extern int clearenv(void);
extern int pipe2(int ends[2], int flags);
extern long syscall(long number, ...);
extern int pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *deadline);

// Swift hides fork from programs with threads; the one call here comes before there are any.
static inline pid_t edge_fork(void) { return fork(); }

// mremap stands behind _GNU_SOURCE and takes variable arguments.
extern void *mremap(void *memory, size_t size, size_t wanted, int flags, ...);
static inline void *edge_grow_map(void *memory, size_t size, size_t wanted) {
  return mremap(memory, size, wanted, 1 /* MREMAP_MAYMOVE */);
}

// Reading and writing a socket, with the negated error number instead of errno. The C library makes both calls places
// where a thread may be cancelled, which costs more than all else in them; no thread here ever is.
#ifdef __x86_64__
static inline long edge_socket_call(long number, int fd, const void *bytes, size_t count, int flags) {
  long result;
  register long r10 __asm__("r10") = flags;
  register long r8 __asm__("r8") = 0;
  register long r9 __asm__("r9") = 0;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"((long)fd), "S"(bytes), "d"(count), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
static inline long edge_recv(int fd, void *bytes, size_t count) {
  return edge_socket_call(SYS_recvfrom, fd, bytes, count, 0);
}
static inline long edge_send(int fd, const void *bytes, size_t count) {
  return edge_socket_call(SYS_sendto, fd, bytes, count, MSG_NOSIGNAL);
}
#else
static inline long edge_recv(int fd, void *bytes, size_t count) {
  ssize_t result = recv(fd, bytes, count, 0);
  return result < 0 ? -(long)errno : result;
}
static inline long edge_send(int fd, const void *bytes, size_t count) {
  ssize_t result = send(fd, bytes, count, MSG_NOSIGNAL);
  return result < 0 ? -(long)errno : result;
}
#endif

// Between a socket and a pipe, with the negated error number. Nothing here waits.
static inline long edge_splice(int source, int target, size_t count) {
  const unsigned flags = 1 /* SPLICE_F_MOVE */ | 2 /* SPLICE_F_NONBLOCK */;
  long result = syscall(SYS_splice, source, (void *)0, target, (void *)0, count, flags);
  return result < 0 ? -(long)errno : result;
}

// Calls with variable or newer arguments than Swift imports.
static inline int edge_widen_pipe(int fd, int size) { return fcntl(fd, 1031 /* F_SETPIPE_SZ */, size); }
static inline int edge_pipe_size(int fd) { return fcntl(fd, 1032 /* F_GETPIPE_SZ */); }
static inline int edge_prctl(int option, unsigned long value) { return prctl(option, value, 0ul, 0ul, 0ul); }
static inline int edge_close_from(unsigned int first) { return (int)syscall(SYS_close_range, first, ~0u, 0u); }

#endif

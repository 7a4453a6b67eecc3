// Linux calls that `import Glibc` leaves out: whole headers, and functions that stand behind _GNU_SOURCE. The macro
// itself must not be defined here: Swift's own view of the C library was made without it, and the two would differ.
#ifndef CLINUX_SHIM_H
#define CLINUX_SHIM_H
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>

extern int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
extern int pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *deadline);

#endif

// A socket that does not block, plain or with TLS: the same two calls for the load client and the origin.
#ifndef BENCH_TRANSPORT_H
#define BENCH_TRANSPORT_H

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
  int fd;  // -1: none
  SSL *tls;  // NULL: plain
} transport_t;

/// What the result of an OpenSSL call means: its size, 0 for an orderly end, -1 with errno EAGAIN or ECONNRESET.
static inline ssize_t tls_result(transport_t *t, int result) {
  if (result > 0) return result;
  int error = SSL_get_error(t->tls, result);
  ERR_clear_error();
  if (error == SSL_ERROR_ZERO_RETURN) return 0;
  errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
  return -1;
}

/// As recv. An end without the alert that TLS closes with is a reset.
static inline ssize_t transport_read(transport_t *t, void *bytes, size_t size) {
  if (!t->tls) return recv(t->fd, bytes, size, MSG_DONTWAIT);
  return tls_result(t, SSL_read(t->tls, bytes, size > 1 << 20 ? 1 << 20 : (int)size));
}

/// As send.
static inline ssize_t transport_write(transport_t *t, const void *bytes, size_t size) {
  if (!t->tls) return send(t->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  ssize_t sent = tls_result(t, SSL_write(t->tls, bytes, size > 1 << 14 ? 1 << 14 : (int)size));
  if (sent) return sent;
  errno = ECONNRESET;
  return -1;
}

/// Leaves without the closing alert: nobody is told more than the end of the socket tells.
static inline void transport_close(transport_t *t) {
  if (t->tls) SSL_free(t->tls);
  if (t->fd >= 0) close(t->fd);  // also leaves the poller
  *t = (transport_t){.fd = -1};
}

#endif

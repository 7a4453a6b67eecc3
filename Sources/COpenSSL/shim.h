// OpenSSL 3.0. What it offers as macros only, Swift cannot see; those that Edge uses stand here as functions under
// their own names with the prefix `edge_`.
#ifndef COPENSSL_SHIM_H
#define COPENSSL_SHIM_H
#define OPENSSL_SUPPRESS_DEPRECATED 1
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

static inline void edge_SSL_CTX_set_mode(SSL_CTX *context, unsigned long mode) { SSL_CTX_set_mode(context, mode); }

static inline void edge_SSL_CTX_set_read_ahead(SSL_CTX *context, int yes) { SSL_CTX_set_read_ahead(context, yes); }

static inline void edge_SSL_CTX_set_session_cache_mode(SSL_CTX *context, int mode) {
  SSL_CTX_set_session_cache_mode(context, mode);
}

static inline int edge_SSL_CTX_set_min_proto_version(SSL_CTX *context, int version) {
  return (int)SSL_CTX_set_min_proto_version(context, version);
}

static inline int edge_SSL_set_tlsext_host_name(SSL *stream, const char *name) {
  return (int)SSL_set_tlsext_host_name(stream, name);
}

// The options are shifts by a macro with a cast, which are not imported either.
static inline void edge_SSL_CTX_refuse_renegotiation(SSL_CTX *context) {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
}

// What a server is besides: nothing is resumed, so nothing is kept for that and no tickets are given.
static inline void edge_SSL_CTX_refuse_resumption(SSL_CTX *context) {
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context, 0);
}

static inline int edge_SSL_CTX_set1_groups_list(SSL_CTX *context, const char *names) {
  return (int)SSL_CTX_set1_groups_list(context, names);
}

// Counts one more reference to the certificate.
static inline int edge_SSL_CTX_add1_chain_cert(SSL_CTX *context, X509 *certificate) {
  return (int)SSL_CTX_add1_chain_cert(context, certificate);
}

// Puts a system error on the queue of the calling thread, so that all reasons are found in one place.
static inline void edge_ERR_raise_system(int error) { ERR_raise(ERR_LIB_SYS, error); }

static inline int edge_ERR_is_system(unsigned long error) { return ERR_SYSTEM_ERROR(error); }

// Keys an HMAC with SHA-256. Here, for the parameters keep pointers to both texts until the call is over.
static inline int edge_EVP_MAC_init_sha256(EVP_MAC_CTX *context, const unsigned char *key, size_t count) {
  char digest[] = "SHA256";
  OSSL_PARAM parameters[2];
  parameters[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
  parameters[1] = OSSL_PARAM_construct_end();
  return EVP_MAC_init(context, key, count, parameters);
}

#endif
